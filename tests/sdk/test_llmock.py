"""A provider of others: llmock, which speaks these APIs, and breaks them on request."""

import json
import socket
import subprocess
import sys
import time
import urllib.request

import anthropic
import cohere
import groq
import openai
import pytest
from conftest import KINDS, Gateway
from google import genai
from google.genai import types

BASES = {
    "openai": "/v1", "anthropic": "/anthropic/v1", "gemini": "/gemini/v1beta", "groq": "/groq/openai/v1",
    "cohere": "/cohere/v2",
}
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "error"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def configure(_):
        text = ""
        for name, base in BASES.items():
            text += f'[providers.{name}]\nkind = "{KINDS[name][0]}"\ntoken = "inline:t"\nbase_url = "{url}{base}"\n'
            text += f'[[routes]]\nname = "{name}"\npath = "/{name}"\nprovider = "{name}"\n'
        return text

    gateway = Gateway(tmp_path_factory.mktemp("llmock"), configure)
    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.05)

    def scenario(*behaviors):
        body = json.dumps({"behaviors": behaviors}).encode()
        request = urllib.request.Request(f"{url}/_llmock/scenario", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=5).read()

    gateway.scenario = scenario
    yield gateway
    gateway.stop()
    server.terminate()
    server.wait(10)


def openai_text(gateway, stream):
    api = openai.OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=gateway.key, max_retries=0)
    if stream:
        chunks = api.chat.completions.create(**REQUEST, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return api.chat.completions.create(**REQUEST).choices[0].message.content


def anthropic_text(gateway, stream):
    api = anthropic.Anthropic(base_url=f"{gateway.url}/anthropic", api_key=gateway.key, max_retries=0)
    if stream:
        with api.messages.stream(**REQUEST, max_tokens=100) as events:
            return "".join(events.text_stream)
    return api.messages.create(**REQUEST, max_tokens=100).content[0].text


def gemini_text(gateway, stream):
    options = types.HttpOptions(base_url=f"{gateway.url}/gemini", api_version="v1beta")
    api = genai.Client(api_key=gateway.key, vertexai=False, http_options=options)
    if stream:
        return "".join(chunk.text or "" for chunk in api.models.generate_content_stream(model="m", contents="Hi"))
    return api.models.generate_content(model="m", contents="Hi").text


def groq_text(gateway, stream):
    api = groq.Groq(base_url=f"{gateway.url}/groq", api_key=gateway.key, max_retries=0)
    if stream:
        chunks = api.chat.completions.create(**REQUEST, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return api.chat.completions.create(**REQUEST).choices[0].message.content


def cohere_text(gateway, stream):
    api = cohere.ClientV2(base_url=f"{gateway.url}/cohere", api_key=gateway.key)
    if stream:
        events = api.chat_stream(**REQUEST)
        return "".join(event.delta.message.content.text for event in events if event.type == "content-delta")
    return api.chat(**REQUEST).message.content[0].text


@pytest.mark.parametrize("text", [openai_text, anthropic_text, gemini_text, groq_text, cohere_text])
def test_a_stream_and_a_whole_response_have_the_same_text(mock, text):
    mock.scenario({"type": "reply", "text": "One response, whole or in chunks.", "times": None})
    assert text(mock, False) == text(mock, True) == "One response, whole or in chunks."


def test_a_429_and_its_retry_after_reach_the_client(mock):
    mock.scenario({"type": "fail", "status": 429, "retry_after": 2, "times": 1})
    with pytest.raises(openai.RateLimitError) as raised:
        openai_text(mock, False)
    assert raised.value.response.headers["retry-after"] == "2"
    assert raised.value.response.headers["x-keygate-refused-by"] == "provider"


def test_a_broken_stream_breaks_for_the_client(mock):
    mock.scenario({"type": "stream_fault", "kind": "disconnect", "after_chunks": 2})
    with pytest.raises(openai.APIConnectionError):
        openai_text(mock, True)
