"""A server between the SDKs and what refuses: it records each response, and when its request came.

A path is /SDK/DIALECT/SCENE/..., of which the part behind the SDK is what the gateway sees.
"""

import http.client
import json
import pathlib
import threading
import time
import urllib.parse
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Where a dialect has its message (gateway/proxy/dialect.rs).
MESSAGES = {"mistral": ["message"], "cohere": ["message"], "huggingface": ["error"]}


@dataclass
class Refusal:
    """A response as the SDK received it, and when its request came."""

    came: float
    status: int
    headers: dict
    body: bytes
    dialect: str

    @property
    def message(self):
        value = json.loads(self.body)
        for name in MESSAGES.get(self.dialect, ["error", "message"]):
            value = value[name]
        return value

    @property
    def wait(self):
        """The seconds that its headers tell, as the SDKs of OpenAI and Anthropic read them; `None` if they tell none."""
        if "retry-after-ms" in self.headers:
            return int(self.headers["retry-after-ms"]) / 1000
        return int(self.headers["retry-after"]) if "retry-after" in self.headers else None


class Recorder:
    """Serves refusals from files below `folder`, or passes requests on to `servers`: one gateway, or, in JSON, one for each
    scene."""

    def __init__(self, folder, servers):
        self.refusals = defaultdict(list)
        self.respond = (lambda *request: forward(servers, *request)) if servers else (lambda *request: read(folder, *request))
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                recorder.handle(self, self.rfile.read(int(self.headers.get("content-length", 0))))

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def handle(self, request, body):
        came = time.monotonic()
        _, sdk, dialect, scene, *_ = request.path.split("/")
        status, headers, answer = self.respond(request, body)
        headers = {name.lower(): value for name, value in headers}
        self.refusals[sdk, scene].append(Refusal(came, status, headers, answer, dialect))
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(answer)


def read(folder, request, _):
    _, _, dialect, scene, *_ = request.path.split("/")
    refusal = json.loads((pathlib.Path(folder) / dialect / f"{scene}.json").read_text())
    return refusal["status"], refusal["headers"], refusal["body"].encode()


def forward(servers, request, body):
    _, _, _, scene, *_ = request.path.split("/")
    server = json.loads(servers)[scene] if servers.startswith("{") else servers
    # The gateway admits a request that has waited as it was told: others take what has come back meanwhile.
    while (response := pass_on(server, request, body))[0] == 200:
        time.sleep(0.001)
    return response


def pass_on(server, request, body):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server).netloc, timeout=60)
    dropped = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
    connection.request("POST", "/" + request.path.split("/", 2)[2], body, headers)
    response = connection.getresponse()
    answer = response.read()
    headers = [pair for pair in response.getheaders() if pair[0].lower() not in {"connection", "transfer-encoding", "content-length"}]
    connection.close()
    return response.status, [*headers, ("content-length", str(len(answer)))], answer
