"""Conversations over a WebSocket, with the key in a header, in the query, or among the subprotocols."""

import json
import os
import time

import openai
import pytest
from conftest import lines
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

# The length of the pause without messages, in seconds.
IDLE = float(os.environ.get("SDK_IDLE", "120"))


def test_a_thousand_messages_with_a_long_pause_in_between(stage, provider):
    api = openai.OpenAI(base_url=f"{stage.url}/openai/v1", api_key=stage.key, max_retries=0)
    with api.realtime.connect(model="m") as conversation:
        for number in range(1000):
            if number == 500:
                time.sleep(IDLE)
            conversation.send({"type": "response.create", "event_id": f"n{number}"})
            event = conversation.recv()
            assert event.event_id == f"e{number + 1}"
            assert json.loads(event.delta)["event_id"] == f"n{number}"
    assert lines(provider) == ["GET /v1/realtime?model=m"]


def test_each_response_is_metered_while_the_connection_is_open(stage, provider):
    labels = 'key="sdk",model="other",provider="openai",route="openai"'
    series = f'keygate_tokens_total{{{labels},type="input"}}'
    before = stage.count(series)
    api = openai.OpenAI(base_url=f"{stage.url}/openai/v1", api_key=stage.key, max_retries=0)
    with api.realtime.connect(model="m") as conversation:
        for number in range(1, 4):
            conversation.send({"type": "response.create", "event_id": "end"})
            assert conversation.recv().response.usage.total_tokens == 340
            assert stage.count(series) - before == 300 * number
    assert provider.only().value("sec-websocket-extensions") is None


def test_azure(stage, provider):
    # The SDK uses TLS unless it is given this URL.
    websocket_url = f"ws://{stage.address}/azure/openai"
    api = openai.AzureOpenAI(
        azure_endpoint=f"{stage.url}/azure", websocket_base_url=websocket_url, api_version="2025-01-01", api_key=stage.key
    )
    with api.realtime.connect(model="m") as conversation:
        conversation.send({"type": "response.create"})
        assert conversation.recv().event_id == "e1"
    (line,) = lines(provider)
    assert line.startswith("GET /openai/realtime?") and "deployment=m" in line


@pytest.mark.parametrize("query, offered, chosen", [
    ("", ["realtime", "openai-insecure-api-key.{key}", "openai-organization.theirs", "openai-beta.realtime-v1"], "realtime"),
    ("", ["openai-insecure-api-key.{key}"], None),
    ("&api-key={key}", [], None),
    ("&key={key}", ["realtime"], "realtime"),
])
def test_keys_where_browsers_can_put_them(stage, provider, query, offered, chosen):
    url = f"ws://{stage.address}/openai/v1/realtime?model=m{query.format(key=stage.key)}"
    protocols = [protocol.format(key=stage.key) for protocol in offered] or None
    with connect(url, subprotocols=protocols) as conversation:
        assert conversation.subprotocol == chosen
        conversation.send("hello")
        assert json.loads(conversation.recv())["delta"] == "hello"
    (record,) = provider.take()
    assert record.line == "GET /v1/realtime?model=m"
    kept = [protocol for protocol in offered if protocol.startswith(("realtime", "openai-beta"))]
    assert (record.value("sec-websocket-protocol") or "") == ", ".join(kept)


def test_two_different_keys_and_a_wrong_one_are_refused(stage, provider):
    url = f"ws://{stage.address}/openai/v1/realtime?model=m"
    other = "openai-insecure-api-key.other"
    with pytest.raises(InvalidStatus, match="400"):
        connect(url, subprotocols=["realtime", other], additional_headers={"api-key": stage.key})
    with pytest.raises(InvalidStatus, match="401"):
        connect(url, subprotocols=["realtime", other])
    assert not provider.take()
