"""The SDKs `mistralai`, `huggingface_hub`, `groq` and `cohere`, unmodified."""

import cohere
import groq
import pytest
from conftest import lines
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from provider import TEXT

try:
    from mistralai.client import Mistral
    from mistralai.client.errors import SDKError
except ImportError:
    from mistralai import Mistral
    from mistralai.models import SDKError

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "", "parameters": WEATHER}}]
REFUSALS = [
    ("{}", "m", "wrong", 401, "Invalid API key."),
    ("closed/{}", "m", None, 403, "This API key may not use this route."),
    ("nowhere/{}", "m", None, 404, "There is no route for this host and path."),
    ("{}", "limited", None, 429, "Too many requests for the provider."),
    ("late/{}", "slow", None, 504, "The provider did not respond in time."),
]
refusals = pytest.mark.parametrize("path, model, key, status, message", REFUSALS)


def mistral(stage, path="mistral", key=None):
    return Mistral(api_key=key or stage.key, server_url=f"{stage.url}/{path}")


def test_mistral(stage, provider):
    api = mistral(stage)
    assert api.chat.complete(**REQUEST).choices[0].message.content == TEXT
    with api.chat.stream(**REQUEST) as stream:
        texts = [event.data.choices[0].delta.content or "" for event in stream]
    assert "".join(texts).strip() == TEXT
    called = api.chat.complete(**REQUEST, tools=TOOLS).choices[0].message.tool_calls[0].function
    assert called.name == "weather"
    assert api.embeddings.create(model="m", inputs=["a"]).data[0].embedding == [0.5, 0.25]
    assert api.fim.complete(model="m", prompt="a").choices[0].message.content == TEXT
    assert api.files.upload(file={"file_name": "f", "content": b"x" * 100_000}, purpose="batch").size_bytes > 100_000
    assert lines(provider) == [
        *["POST /v1/chat/completions"] * 3, "POST /v1/embeddings", "POST /v1/fim/completions", "POST /v1/files",
    ]


@refusals
def test_mistrals_errors(stage, provider, path, model, key, status, message):
    with pytest.raises(SDKError) as raised:
        mistral(stage, path.format("mistral"), key).chat.complete(**REQUEST | {"model": model})
    assert raised.value.status_code == status
    assert message in str(raised.value)
    assert raised.value.headers["x-keygate-request-id"]


def huggingface(stage, path="huggingface", key=None):
    return InferenceClient(base_url=f"{stage.url}/{path}/v1", api_key=key or stage.key)


def test_huggingface(stage, provider):
    api = huggingface(stage)
    assert api.chat_completion(**REQUEST).choices[0].message.content == TEXT
    texts = [chunk.choices[0].delta.content or "" for chunk in api.chat_completion(**REQUEST, stream=True)]
    assert "".join(texts).strip() == TEXT
    assert api.chat_completion(**REQUEST, tools=TOOLS).choices[0].message.tool_calls[0].function.name == "weather"
    model = InferenceClient(model=f"{stage.url}/huggingface/models/openai-community/gpt2", token=stage.key)
    assert model.text_generation("Hi") == TEXT
    assert lines(provider) == [*["POST /v1/chat/completions"] * 3, "POST /hf-inference/models/openai-community/gpt2"]


@refusals
def test_huggingfaces_errors(stage, provider, path, model, key, status, message):
    with pytest.raises(HfHubHTTPError) as raised:
        huggingface(stage, path.format("huggingface"), key).chat_completion(**REQUEST | {"model": model})
    assert raised.value.response.status_code == status
    assert message in str(raised.value)
    assert raised.value.request_id


def test_groq(stage, provider):
    api = groq.Groq(base_url=f"{stage.url}/groq", api_key=stage.key, max_retries=0)
    assert api.chat.completions.create(**REQUEST).choices[0].message.content == TEXT
    texts = [chunk.choices[0].delta.content or "" for chunk in api.chat.completions.create(**REQUEST, stream=True)]
    assert "".join(texts).strip() == TEXT
    assert api.chat.completions.create(**REQUEST, tools=TOOLS).choices[0].message.tool_calls
    assert [model.id for model in api.models.list().data] == ["m"]
    assert lines(provider) == [*["POST /openai/v1/chat/completions"] * 3, "GET /openai/v1/models"]


@refusals
def test_groqs_errors(stage, provider, path, model, key, status, message):
    kinds = {
        401: groq.AuthenticationError, 403: groq.PermissionDeniedError, 404: groq.NotFoundError,
        429: groq.RateLimitError, 504: groq.InternalServerError,
    }
    url = f"{stage.url}/{path.format('groq')}"
    with pytest.raises(kinds[status]) as raised:
        api = groq.Groq(base_url=url, api_key=key or stage.key, max_retries=0)
        api.chat.completions.create(**REQUEST | {"model": model})
    assert message in str(raised.value)
    assert raised.value.response.headers["x-request-id"]


def test_cohere(stage, provider):
    api = cohere.ClientV2(base_url=f"{stage.url}/cohere", api_key=stage.key)
    assert api.chat(**REQUEST).message.content[0].text == TEXT
    texts = [event.delta.message.content.text for event in api.chat_stream(**REQUEST) if event.type == "content-delta"]
    assert "".join(texts).strip() == TEXT
    assert api.chat(**REQUEST, tools=TOOLS).message.tool_calls[0].function.name == "weather"
    embed = api.embed(model="m", texts=["a"], input_type="search_query", embedding_types=["float"])
    assert embed.embeddings.float_ == [[0.5, 0.25]]
    assert lines(provider) == [*["POST /v2/chat"] * 3, "POST /v2/embed"]


@refusals
def test_coheres_errors(stage, provider, path, model, key, status, message):
    kinds = {
        401: cohere.UnauthorizedError, 403: cohere.ForbiddenError, 404: cohere.NotFoundError,
        429: cohere.TooManyRequestsError, 504: cohere.GatewayTimeoutError,
    }
    with pytest.raises(kinds[status]) as raised:
        api = cohere.ClientV2(base_url=f"{stage.url}/{path.format('cohere')}", api_key=key or stage.key)
        api.chat(**REQUEST | {"model": model}, request_options={"max_retries": 0})
    assert message in str(raised.value.body)
    assert raised.value.headers["x-request-id"]
