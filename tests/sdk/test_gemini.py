"""The `google-genai` SDK, unmodified."""

import io

import pytest
from conftest import lines
from google import genai
from google.genai import errors, types
from provider import TEXT


def client(stage, path="gemini", key=None, **more):
    options = types.HttpOptions(base_url=f"{stage.url}/{path}", **more)
    return genai.Client(api_key=key or stage.key, vertexai=False, http_options=options)


# Older versions use v1beta, newer ones v1; some programs set it.
@pytest.mark.parametrize("version", [None, "v1", "v1beta"])
def test_generate_plain_streamed_and_with_tools(stage, provider, version):
    api = client(stage, **({"api_version": version} if version else {}))
    assert api.models.generate_content(model="m", contents="Hi").text == TEXT
    texts = [chunk.text for chunk in api.models.generate_content_stream(model="m", contents="Hi")]
    assert "".join(texts).strip() == TEXT
    function = {"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
    tools = types.GenerateContentConfig(tools=[{"function_declarations": [function]}])
    called = api.models.generate_content(model="m", contents="Hi", config=tools).function_calls[0]
    assert (called.name, called.args) == ("weather", {"city": "Paris"})
    found = lines(provider)
    used_version = version or found[0].split("/")[1]
    assert used_version in ("v1", "v1beta")
    assert found == [
        f"POST /{used_version}/models/m:generateContent", f"POST /{used_version}/models/m:streamGenerateContent?alt=sse",
        f"POST /{used_version}/models/m:generateContent",
    ]


def test_the_other_endpoints(stage, provider):
    api = client(stage, api_version="v1beta")
    vectors = api.models.embed_content(model="m", contents=["a"]).embeddings
    assert vectors[0].values == [0.5, 0.25]
    assert [model.name for model in api.models.list(config={"query_base": True})] == ["models/m"]
    # An upload is two requests. This SDK sends the second one without its key: set the key as a header, too.
    api = client(stage, api_version="v1beta", client_args={"headers": {"x-goog-api-key": stage.key}})
    file = api.files.upload(file=io.BytesIO(b"x" * 100_000), config={"mime_type": "text/plain"})
    assert file.size_bytes == 100_000
    found = lines(provider)
    assert found[0] == "POST /v1beta/models/m:batchEmbedContents"
    assert found[1].startswith("GET /v1beta/models")
    assert found[2:] == ["POST /upload/v1beta/files", "POST /upload/v1beta/files?upload_id=1&upload_protocol=resumable"]


@pytest.mark.parametrize("path, model, key, error, status, message", [
    ("gemini", "m", "wrong", errors.ClientError, "UNAUTHENTICATED", "Invalid API key."),
    ("closed/gemini", "m", None, errors.ClientError, "PERMISSION_DENIED", "This API key may not use this route."),
    ("nowhere", "m", None, errors.ClientError, None, "There is no route for this host and path."),
    ("gemini", "limited", None, errors.ClientError, "RESOURCE_EXHAUSTED", "Too many requests for the provider."),
    ("late/gemini", "slow", None, errors.ServerError, "DEADLINE_EXCEEDED", "The provider did not respond in time."),
])
def test_typed_errors(stage, provider, path, model, key, error, status, message):
    with pytest.raises(error) as raised:
        api = client(stage, path, key, retry_options=types.HttpRetryOptions(attempts=1))
        api.models.generate_content(model=model, contents="Hi")
    assert raised.value.status == status
    assert message in raised.value.message
    assert raised.value.response.headers["x-keygate-request-id"]
