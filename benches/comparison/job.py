"""Checks before measuring that each proxy does the job: the provider gets its own token, and a wrong key gets 401."""

import http.client
import http.server
import sys
import threading

from comparison.work import RESPONSE, body

# They check no key: the relay reads nothing, and Portkey's clients have the provider's token.
WITHOUT_KEYS = {"relay", "portkey"}


class Provider(http.server.ThreadingHTTPServer):
    """Records the credential of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append(self.headers["authorization"])
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(RESPONSE)))
        self.end_headers()
        self.wfile.write(RESPONSE.encode())

    def log_message(self, *_):
        pass


def status(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body(300), headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def check(machine, proxies):
    """Ends the script if a proxy does not do the job."""
    with Provider() as provider:
        for name in (name for name in proxies if name not in WITHOUT_KEYS):
            child, port = machine.proxy(name, provider.server_port)
            path, headers = machine.head(port)
            found = status(port, path, headers), status(port, path, headers | {"authorization": "Bearer wrong"}), provider.seen
            machine.stop(child)
            if found != (200, 401, ["Bearer provider-token"]):
                sys.exit(f"{name} does not do the job: {found}")
            provider.seen.clear()
        provider.shutdown()
