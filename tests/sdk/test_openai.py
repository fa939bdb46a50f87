"""The `openai` SDK, unmodified: OpenAI, Azure OpenAI, and compatible providers."""

import io
import json

import openai
import pytest
from conftest import lines
from provider import TEXT

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


def client(stage, path="openai/v1", **more):
    return openai.OpenAI(base_url=f"{stage.url}/{path}", **{"api_key": stage.key, "max_retries": 0} | more)


def azure(stage, path="azure", **more):
    return openai.AzureOpenAI(
        azure_endpoint=f"{stage.url}/{path}", api_version="2025-01-01",
        **{"api_key": stage.key, "max_retries": 0} | more,
    )


@pytest.mark.parametrize("path", ["openai/v1", "openai", "groq/openai/v1", "mistral/v1", "huggingface/v1"])
def test_chat_plain_streamed_and_with_tools(stage, provider, path):
    chat = client(stage, path).chat.completions
    assert chat.create(**REQUEST).choices[0].message.content == TEXT
    texts = [chunk.choices[0].delta.content or "" for chunk in chat.create(**REQUEST, stream=True)]
    assert "".join(texts).strip() == TEXT
    called = chat.create(**REQUEST, tools=TOOLS).choices[0].message.tool_calls[0].function
    assert (called.name, called.arguments) == ("weather", '{"city":"Paris"}')
    prefix = "/openai/v1" if "groq" in path else "/v1"
    assert lines(provider) == [f"POST {prefix}/chat/completions"] * 3


@pytest.mark.parametrize("make, path", [(client, "openai/v1"), (azure, "azure"), (client, "groq/openai/v1"), (client, "huggingface/v1")])
def test_exact_metering_does_not_change_what_the_client_receives(stage, provider, make, path):
    def chunks(path, **more):
        return [chunk.to_dict() for chunk in make(stage, path).chat.completions.create(**REQUEST, stream=True, **more)]

    usage = {"stream_options": {"include_usage": True}}
    assert chunks(f"exact/{path}") == chunks(path)
    assert chunks(f"exact/{path}", **usage) == chunks(path, **usage)
    bodies = [json.loads(record.body) for record in provider.take()]
    assert [body.get("stream_options") for body in bodies] == [usage["stream_options"], None] + [usage["stream_options"]] * 2
    # Requests without a stream stay unchanged.
    assert make(stage, f"exact/{path}").chat.completions.create(**REQUEST).choices[0].message.content == TEXT


def test_the_other_endpoints(stage, provider):
    api = client(stage, organization="theirs", project="theirs", default_headers={"OpenAI-Beta": "feature"})
    assert api.responses.create(model="m", input="Hi").output_text == TEXT
    assert api.embeddings.create(model="m", input=["a", "b"]).data[1].embedding == [0.5, 0.25]
    assert [model.id for model in api.models.list()] == ["m"]
    file = api.files.create(file=("f.jsonl", b"x" * 300_000), purpose="batch")
    assert file.bytes > 300_000
    assert api.files.content("file-1").read() == b'{"line":1}\n{"line":2}\n'
    batch = api.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert api.batches.retrieve(batch.id).status == "validating"
    speech = api.audio.speech.create(model="m", voice="alloy", input="Hi").read()
    assert speech == bytes(range(256)) * 400
    transcription = api.audio.transcriptions.create(model="m", file=("a.mp3", io.BytesIO(b"\0" * 100_000)))
    assert int(transcription.text.split()[0]) > 100_000
    records = provider.take()
    assert [record.line for record in records] == [
        "POST /v1/responses", "POST /v1/embeddings", "GET /v1/models", "POST /v1/files", "GET /v1/files/file-1/content",
        "POST /v1/batches", "GET /v1/batches/batch_1", "POST /v1/audio/speech", "POST /v1/audio/transcriptions",
    ]
    assert all(record.value("openai-beta") == "feature" for record in records)
    assert all(record.value("x-stainless-lang") == "python" for record in records)


def test_azure(stage, provider):
    api = azure(stage)
    assert api.chat.completions.create(**REQUEST).choices[0].message.content == TEXT
    texts = [chunk.choices[0].delta.content or "" for chunk in api.chat.completions.create(**REQUEST, stream=True)]
    assert "".join(texts).strip() == TEXT
    assert api.chat.completions.create(**REQUEST, tools=TOOLS).choices[0].message.tool_calls
    assert api.embeddings.create(model="e", input="a").data[0].embedding == [0.5, 0.25]
    assert api.audio.transcriptions.create(model="w", file=("a.mp3", b"abc")).text
    # A client without a deployment gets the provider's.
    assert client(stage, "azure").chat.completions.create(**REQUEST).choices[0].message.content == TEXT
    assert lines(provider) == [
        *["POST /openai/deployments/m/chat/completions?api-version=2025-01-01"] * 3,
        "POST /openai/deployments/e/embeddings?api-version=2025-01-01",
        "POST /openai/deployments/w/audio/transcriptions?api-version=2025-01-01",
        "POST /openai/deployments/d/chat/completions?api-version=2024-10-21",
    ]


@pytest.mark.parametrize("make, path", [(client, "openai/v1"), (azure, "azure")])
@pytest.mark.parametrize("where, model, more, error, message", [
    ("", "m", {"api_key": "wrong"}, openai.AuthenticationError, "Invalid API key."),
    ("closed/", "m", {}, openai.PermissionDeniedError, "This API key may not use this route."),
    ("nowhere/", "m", {}, openai.NotFoundError, "There is no route for this host and path."),
    ("", "limited", {}, openai.RateLimitError, "Too many requests for the provider."),
    ("late/", "slow", {}, openai.InternalServerError, "The provider did not respond in time."),
])
def test_typed_errors(stage, provider, make, path, where, model, more, error, message):
    with pytest.raises(error) as raised:
        make(stage, where + path, **more).chat.completions.create(**REQUEST | {"model": model})
    assert message in str(raised.value)
    assert raised.value.request_id
    assert error is not openai.InternalServerError or raised.value.status_code == 504
    refused_by = raised.value.response.headers["x-keygate-refused-by"]
    assert refused_by == ("provider" if model == "limited" else "gateway")


def test_clients_that_abort_streams_do_not_affect_later_requests(stage, provider):
    api = client(stage)
    for _ in range(5):
        with api.chat.completions.create(**REQUEST, stream=True) as stream:
            next(iter(stream))
    assert api.chat.completions.create(**REQUEST).choices[0].message.content == TEXT
