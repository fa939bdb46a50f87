"""The `anthropic` SDK, unmodified."""

import anthropic
import pytest
from provider import TEXT

REQUEST = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def client(stage, path="anthropic", **more):
    options = {"api_key": stage.key, "max_retries": 0} | more
    return anthropic.Anthropic(base_url=f"{stage.url}/{path}", **options)


# `auth_token` is how Claude Code may send its key, `api_key` how other programs do.
@pytest.mark.parametrize("key", ["api_key", "auth_token"])
def test_messages_plain_streamed_and_with_tools(stage, provider, key):
    api = client(stage, **{"api_key": None} | {key: stage.key})
    message = api.messages.create(**REQUEST)
    assert message.content[0].text == TEXT
    with api.messages.stream(**REQUEST) as stream:
        assert "".join(stream.text_stream).strip() == TEXT
    called = api.messages.create(**REQUEST, tools=TOOLS).content[0]
    assert (called.name, called.input) == ("weather", {"city": "Paris"})
    records = provider.take()
    assert [record.line for record in records] == ["POST /v1/messages"] * 3
    for record in records:
        # Only the client's version, and not a second one of the gateway.
        assert len(record.values("anthropic-version")) == 1


def test_the_other_endpoints(stage, provider):
    api = client(stage, default_headers={"anthropic-beta": "feature-1"})
    assert api.messages.count_tokens(model="m", messages=REQUEST["messages"]).input_tokens == 3
    request = {"custom_id": "a", "params": REQUEST}
    assert api.messages.batches.create(requests=[request]).processing_status == "in_progress"
    assert api.messages.batches.retrieve("msgbatch_1").id == "msgbatch_1"
    file = api.beta.files.upload(file=("f.txt", b"x" * 200_000, "text/plain"))
    assert file.size_bytes > 200_000
    records = provider.take()
    assert [record.line for record in records] == [
        "POST /v1/messages/count_tokens", "POST /v1/messages/batches", "GET /v1/messages/batches/msgbatch_1",
        records[-1].line,
    ]
    assert records[-1].line.startswith("POST /v1/files")
    assert all("feature-1" in ", ".join(record.values("anthropic-beta")) for record in records[:3])


@pytest.mark.parametrize("path, model, more, error, message", [
    ("anthropic", "m", {"api_key": "wrong"}, anthropic.AuthenticationError, "Invalid API key."),
    ("closed/anthropic", "m", {}, anthropic.PermissionDeniedError, "This API key may not use this route."),
    ("nowhere", "m", {}, anthropic.NotFoundError, "There is no route for this host and path."),
    ("anthropic", "limited", {}, anthropic.RateLimitError, "Too many requests for the provider."),
    ("late/anthropic", "slow", {}, anthropic.InternalServerError, "The provider did not respond in time."),
])
def test_typed_errors(stage, provider, path, model, more, error, message):
    with pytest.raises(anthropic.APIStatusError) as raised:
        client(stage, path, **more).messages.create(**REQUEST | {"model": model})
    status = raised.value.status_code
    # Newer versions have a separate class for 504.
    assert isinstance(raised.value, error) or (status == 504 and "Deadline" in type(raised.value).__name__)
    assert message in str(raised.value)
    if model == "m" and path != "nowhere":
        assert raised.value.request_id == raised.value.response.headers["x-keygate-request-id"]
        assert raised.value.body["error"]["type"].endswith("_error")
