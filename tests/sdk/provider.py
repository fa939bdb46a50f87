"""A provider that records each request and speaks the API of each kind.

The path alone decides which API responds, so that the kinds share their handlers. `Record.check` checks each request for
what holds for all requests of a kind; the tests check the rest.
"""

import asyncio
import base64
import functools
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field

SPELLINGS = ["authorization", "api-key", "x-api-key", "x-goog-api-key"]
# Headers that the gateway must not forward.
FOREIGN = {
    "cookie", "proxy-authorization", "openai-organization", "openai-project", "x-goog-user-project", "x-hf-bill-to",
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "connection",
    "keep-alive", "transfer-encoding",
}
TEXT = "Hello from the provider."
# The header and the token of each kind.
TOKENS = {
    "openai": ("authorization", "Bearer token-openai"),
    "azure": ("api-key", "token-azure"),
    "anthropic": ("x-api-key", "token-anthropic"),
    "gemini": ("x-goog-api-key", "token-gemini"),
    "mistral": ("authorization", "Bearer token-mistral"),
    "huggingface": ("authorization", "Bearer token-huggingface"),
    "groq": ("authorization", "Bearer token-groq"),
    "cohere": ("authorization", "Bearer token-cohere"),
}


@dataclass
class Record:
    head: str
    body: bytes = b""
    headers: list = field(default_factory=list)

    def __post_init__(self):
        self.headers = [tuple(line.split(": ", 1)) for line in self.head.split("\r\n")[1:] if line]

    @property
    def line(self):
        return self.head.split("\r\n")[0].removesuffix(" HTTP/1.1")

    def values(self, name):
        return [value for found, value in self.headers if found.lower() == name]

    def value(self, name):
        return next(iter(self.values(name)), None)

    def check(self, kind, secrets):
        """Checks what must hold for every request to a provider of this kind."""
        name, token = TOKENS[kind]
        for spelling in SPELLINGS:
            expected = [token] if spelling == name else []
            assert self.values(spelling) == expected, f"{self.line}: {spelling}: {self.values(spelling)}"
        for secret in secrets:
            for spelled in {secret, base64.b64encode(secret.encode()).decode()}:
                assert spelled not in self.head, f"{self.line}: the client's key came through"
                assert spelled.encode() not in self.body, f"{self.line}: the client's key came through in the body"
        names = {found.lower() for found, _ in self.headers}
        chunked = {"transfer-encoding"} if self.value("content-length") is None else set()
        upgrade = {"connection"} if self.value("upgrade") else set()
        assert not names & (FOREIGN - chunked - upgrade), f"{self.line}: {names & FOREIGN} came through"


class Provider:
    """Serves each kind at its own address, on one thread that runs until the process ends."""

    def __init__(self, secrets):
        self.records, self.faults, self.secrets, self.urls = [], [], secrets, {}
        self.lock, ready = threading.Lock(), threading.Event()

        async def serve():
            for kind in TOKENS:
                server = await asyncio.start_server(functools.partial(self.connection, kind), "127.0.0.1", 0)
                self.urls[kind] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await asyncio.Event().wait()

        threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
        assert ready.wait(10)

    def take(self):
        """Returns and removes the requests so far. Raises if one of them was wrong."""
        with self.lock:
            records, self.records = self.records, []
            faults, self.faults = self.faults, []
        assert not faults, faults
        return records

    def only(self):
        (record,) = self.take()
        return record

    async def connection(self, kind, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
                record = Record(head)
                if record.value("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if length := record.value("content-length"):
                    record.body = await reader.readexactly(int(length))
                elif record.value("transfer-encoding"):
                    while size := int(await reader.readline(), 16):
                        record.body += await reader.readexactly(size)
                        await reader.readline()
                    await reader.readline()
                with self.lock:
                    self.records.append(record)
                    try:
                        record.check(kind, self.secrets)
                    except AssertionError as fault:
                        self.faults.append(str(fault))
                if record.value("upgrade"):
                    return await self.websocket(record, reader, writer)
                await self.respond(record, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def respond(self, record, writer):
        method, target = record.line.split(" ")
        path = target.split("?")[0]
        try:
            request = json.loads(record.body) if record.body else {}
        except ValueError:
            request = {}
        model = request.get("model") if isinstance(request, dict) else None
        model = model or (re.search(r"/(?:models|deployments)/([^:/?]+)", path) or [None, ""])[1]
        if model == "slow":
            # Longer than any timeout of the gateway or the client.
            return await asyncio.sleep(30)
        if model == "limited":
            return send(writer, 429, error(path), {"retry-after": "7"})
        for pattern, handler in ROUTES:
            if re.fullmatch(pattern, f"{method} {path}"):
                return await handler(record, request, writer, self)
        send(writer, 404, {"error": {"message": f"the provider has no {method} {path}"}})

    async def websocket(self, record, reader, writer):
        """Echoes text messages as events until the client closes. A message with the event id `end` ends a response."""
        key = record.value("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        offered = [p.strip() for p in (record.value("sec-websocket-protocol") or "").split(",") if p.strip()]
        if any("insecure-api-key" in p or p.startswith(("openai-organization", "openai-project")) for p in offered):
            self.faults.append(f"{record.line}: a credential among the protocols")
        chosen = f"sec-websocket-protocol: {offered[0]}\r\n" if offered else ""
        # The latency of a usual provider.
        await asyncio.sleep(0.02)
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n{chosen}"
            f"sec-websocket-accept: {accept}\r\n\r\n".encode()
        )
        number = 0
        while True:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await reader.readexactly(8), "big")
            mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(size)))
            opcode = first & 0x0F
            if opcode == 8:
                writer.write(frame(8, payload))
                return
            if opcode == 9:
                writer.write(frame(10, payload))
            elif opcode in (1, 2):
                if "/responses" in record.line:
                    for event in response_events():
                        writer.write(frame(1, json.dumps(event).encode()))
                    continue
                number += 1
                event = {"type": "response.output_text.delta", "event_id": f"e{number}", "delta": payload.decode()}
                event |= {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
                if b'"event_id": "end"' in payload or b'"event_id":"end"' in payload:
                    usage = {"input_tokens": 300, "output_tokens": 40, "total_tokens": 340}
                    response = {"id": "r", "object": "realtime.response", "status": "completed", "output": [], "usage": usage}
                    event = {"type": "response.done", "event_id": f"e{number}", "response": response}
                writer.write(frame(1, json.dumps(event).encode()))
            await writer.drain()


def frame(opcode, payload):
    size = len(payload)
    head = bytes([0x80 | opcode, size]) if size < 126 else bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
    return head + payload


def send(writer, status, content, headers=()):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = {"content-type": "application/json", "content-length": str(len(body)), "set-cookie": "account=1"}
    head |= {"openai-organization": "account", "anthropic-organization-id": "account"} | dict(headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    writer.write(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode() + body)


async def stream(writer, events):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for event in events:
        name, data = event if isinstance(event, tuple) else (None, event)
        data = data if isinstance(data, str) else json.dumps(data)
        chunk = (f"event: {name}\n" if name else "") + f"data: {data}\n\n"
        writer.write(f"{len(chunk.encode()):x}\r\n{chunk}\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.002)
    writer.write(b"0\r\n\r\n")


def error(path):
    message = "Too many requests for the provider."
    if "/messages" in path:
        return {"type": "error", "error": {"type": "rate_limit_error", "message": message}}
    if ":" in path:
        return {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}
    if path.startswith("/v2/"):
        return {"message": message}
    return {"error": {"message": message, "type": "rate_limit_error", "code": "rate_limit"}, "message": message}


# ---- OpenAI and compatible APIs

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chat(message, finish="stop", kind="chat.completion", part="message"):
    choice = {"index": 0, part: message, "finish_reason": finish, "logprobs": None}
    return {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice], "usage": USAGE}


async def openai_chat(record, request, writer, _):
    if request.get("stream"):
        deltas = [{"role": "assistant", "content": ""}, *({"content": word + " "} for word in TEXT.split())]
        events = [chat(delta, None, "chat.completion.chunk", "delta") for delta in deltas]
        events.append(chat({}, "stop", "chat.completion.chunk", "delta"))
        # Like OpenAI: usage only if requested, in a separate chunk, and null in the others.
        include_usage = (request.get("stream_options") or {}).get("include_usage")
        for event in events:
            del event["usage"]
            event |= {"usage": None} if include_usage else {}
        if include_usage:
            events.append(events[-1] | {"choices": [], "usage": USAGE})
        return await stream(writer, [*events, "[DONE]"])
    if request.get("stream_options"):
        return send(writer, 400, {"error": {"message": "stream_options only with a stream", "type": "invalid_request_error"}})
    if tools := request.get("tools"):
        call = {"id": "call_1", "type": "function", "index": 0}
        call["function"] = {"name": tools[0]["function"]["name"], "arguments": '{"city":"Paris"}'}
        return send(writer, 200, chat({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"))
    send(writer, 200, chat({"role": "assistant", "content": TEXT}))


async def openai_embeddings(record, request, writer, _):
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    vector = [0.5, 0.25]
    if request.get("encoding_format") == "base64":
        vector = base64.b64encode(b"\0\0\0\x3f\0\0\x80\x3e").decode()
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, _ in enumerate(inputs)]
    send(writer, 200, {"id": "e", "object": "list", "model": "m", "data": data, "usage": USAGE})


def response(status, output, usage):
    return {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": status, "output": output,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage,
    }


def response_events():
    """The events of one response, in a stream or over a WebSocket."""
    text = {"type": "output_text", "text": TEXT, "annotations": []}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    begun = message | {"status": "in_progress", "content": []}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": response("in_progress", [], None)},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", "part": text | {"text": ""}} | place,
        *({"type": "response.output_text.delta", "delta": word + " "} | place for word in TEXT.split()),
        {"type": "response.output_text.done", "text": TEXT} | place,
        {"type": "response.content_part.done", "part": text} | place,
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": response("completed", [message], usage)},
    ]
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


async def openai_response(record, request, writer, _):
    events = response_events()
    if request.get("stream"):
        return await stream(writer, [(event["type"], event) for event in events])
    send(writer, 200, events[-1]["response"])


async def openai_file(record, request, writer, _):
    assert b'name="file"; filename=' in record.body
    size = len(record.body)
    send(writer, 200, {
        "id": "file-1", "object": "file", "bytes": size, "created_at": 1, "filename": "f", "purpose": "batch",
        "status": "processed", "sample_type": "batch_request", "source": "upload", "type": "file",
        "mime_type": "text/plain", "size_bytes": size, "created_at": "2026-01-01T00:00:00Z"
        if record.values("x-api-key") else 1,
    })


async def openai_speech(record, request, writer, _):
    send(writer, 200, bytes(range(256)) * 400, {"content-type": "audio/mpeg"})


async def openai_transcription(record, request, writer, _):
    send(writer, 200, {"text": f"{len(record.body)} bytes"})


async def openai_models(record, request, writer, _):
    model = {"id": "m", "object": "model", "created": 1, "owned_by": "provider"}
    send(writer, 200, {"object": "list", "data": [model]})


async def openai_batch(record, request, writer, _):
    send(writer, 200, {
        "id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-1",
        "completion_window": "24h", "status": "validating", "created_at": 1,
    })


async def file_content(record, request, writer, _):
    send(writer, 200, b'{"line":1}\n{"line":2}\n', {"content-type": "application/octet-stream"})


# ---- Anthropic


async def anthropic_messages(record, request, writer, _):
    usage = {"input_tokens": 3, "output_tokens": 4}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None, "usage": usage}
    if request.get("stream"):
        begin = message | {"content": [], "stop_reason": None}
        deltas = [{"type": "text_delta", "text": word + " "} for word in TEXT.split()]
        return await stream(writer, [(event["type"], event) for event in [
            {"type": "message_start", "message": begin},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ]])
    if tools := request.get("tools"):
        call = {"type": "tool_use", "id": "t", "name": tools[0]["name"], "input": {"city": "Paris"}}
        return send(writer, 200, message | {"content": [call], "stop_reason": "tool_use"})
    content = [{"type": "text", "text": TEXT}]
    send(writer, 200, message | {"content": content, "stop_reason": "end_turn"}, {"request-id": "req_provider"})


async def anthropic_count(record, request, writer, _):
    send(writer, 200, {"input_tokens": 3})


async def anthropic_batch(record, request, writer, _):
    counts = {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    send(writer, 200, {
        "id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress", "request_counts": counts,
        "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z", "ended_at": None,
        "cancel_initiated_at": None, "archived_at": None, "results_url": None,
    })


# ---- Gemini


def candidate(part, finish="STOP"):
    content = {"role": "model", "parts": [part]}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    return {"candidates": [{"content": content, "finishReason": finish, "index": 0}], "usageMetadata": usage}


async def gemini_generate(record, request, writer, _):
    if request.get("tools"):
        function_name = request["tools"][0]["functionDeclarations"][0]["name"]
        return send(writer, 200, candidate({"functionCall": {"name": function_name, "args": {"city": "Paris"}}}))
    send(writer, 200, candidate({"text": TEXT}))


async def gemini_stream(record, request, writer, _):
    await stream(writer, [candidate({"text": word + " "}) for word in TEXT.split()])


async def gemini_embed(record, request, writer, _):
    values = {"values": [0.5, 0.25]}
    requests = request.get("requests") or [None]
    send(writer, 200, {"embedding": values, "embeddings": [values for _ in requests]})


async def gemini_upload(record, request, writer, provider):
    if record.value("x-goog-upload-command") == "start":
        host = record.value("host")
        url = f"http://{host}/upload/v1beta/files?upload_id=1&upload_protocol=resumable"
        return send(writer, 200, {}, {"x-goog-upload-url": url, "x-goog-upload-status": "active"})
    file = {"name": "files/f", "uri": "https://provider/files/f", "mimeType": "text/plain", "sizeBytes": str(len(record.body)), "state": "ACTIVE"}
    send(writer, 200, {"file": file}, {"x-goog-upload-status": "final"})


async def gemini_models(record, request, writer, _):
    send(writer, 200, {"models": [{"name": "models/m", "displayName": "m"}]})


# ---- Others


async def cohere_chat(record, request, writer, _):
    usage = {"tokens": {"input_tokens": 3, "output_tokens": 4}}
    if request.get("stream"):
        texts = [{"type": "text", "text": word + " "} for word in TEXT.split()]
        return await stream(writer, [(event["type"], event) for event in [
            {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            *({"type": "content-delta", "index": 0, "delta": {"message": {"content": text}}} for text in texts),
            {"type": "content-end", "index": 0},
            {"type": "message-end", "id": "c", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
        ]])
    if tools := request.get("tools"):
        call = {"id": "t", "type": "function"}
        call["function"] = {"name": tools[0]["function"]["name"], "arguments": '{"city":"Paris"}'}
        message = {"role": "assistant", "tool_calls": [call], "tool_plan": "look"}
        return send(writer, 200, {"id": "c", "finish_reason": "TOOL_CALL", "message": message, "usage": usage})
    message = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
    send(writer, 200, {"id": "c", "finish_reason": "COMPLETE", "message": message, "usage": usage})


async def cohere_embed(record, request, writer, _):
    send(writer, 200, {"id": "e", "embeddings": {"float": [[0.5, 0.25] for _ in request["texts"]]}, "texts": request["texts"]})


async def huggingface_model(record, request, writer, _):
    send(writer, 200, [{"generated_text": TEXT}])


DEPLOYMENT = r"(?:/v1|/openai/v1|/openai/deployments/[^/]+)"
ROUTES = [
    (rf"POST {DEPLOYMENT}/chat/completions", openai_chat),
    (r"POST /v1/fim/completions", openai_chat),
    (rf"POST {DEPLOYMENT}/embeddings", openai_embeddings),
    (r"POST /v1/responses", openai_response),
    (r"POST /v1/files", openai_file),
    (r"GET /v1/files/file-1/content", file_content),
    (r"POST /v1/audio/speech", openai_speech),
    (rf"POST {DEPLOYMENT}/audio/transcriptions", openai_transcription),
    (r"GET (?:/openai)?/v1/models", openai_models),
    (r"(?:POST|GET) /v1/batches(?:/batch_1)?", openai_batch),
    (r"POST /v1/messages", anthropic_messages),
    (r"POST /v1/messages/count_tokens", anthropic_count),
    (r"(?:POST|GET) /v1/messages/batches(?:/msgbatch_1)?", anthropic_batch),
    (r"POST /v1(?:beta)?/models/[^/]+:generateContent", gemini_generate),
    (r"POST /v1(?:beta)?/models/[^/]+:streamGenerateContent", gemini_stream),
    (r"POST /v1(?:beta)?/models/[^/]+:(?:batchEmbedContents|embedContent)", gemini_embed),
    (r"POST /upload/v1(?:beta)?/files", gemini_upload),
    (r"GET /v1beta/models", gemini_models),
    (r"POST /v2/chat", cohere_chat),
    (r"POST /v2/embed", cohere_embed),
    (r"POST /hf-inference/models/.+", huggingface_model),
]
