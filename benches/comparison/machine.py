"""Starts proxies, providers and load generators, each on its core, and ends them."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

from comparison.gateways import Gateways
from comparison.proxies import Proxies
from comparison.work import HEAD, KEYS, RESPONSE, body, key, ordered, script_of_wrk

PROXY_CORE, OTHER_CORE = "0", "1"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port, child=None):
    """Waits for at most a minute until something listens on the port."""
    for _ in range(1200):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        if child and child.poll() is not None:
            sys.exit(f"{child.args[3]} ended with {child.returncode}")
        time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


class Machine(Proxies, Gateways):
    def __init__(self, tools, built, folder):
        self.tools, self.built, self.folder, self.children = tools, built, folder, []
        self.started = 0
        # What clients send to a port, if it is not what they send to the others.
        self.heads = {}
        (folder / "keys").write_text("".join(f"{key(n)}\n" for n in range(KEYS)))
        self.certificate()

    def certificate(self):
        # Without extensions for authorities: rustls does not accept an authority's certificate for a server.
        plain = self.file("openssl.cnf", "[req]\ndistinguished_name = name\n[name]\n")
        command = [self.tools["openssl"], "req", "-config", plain, "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=provider.test", "-addext", "subjectAltName=DNS:provider.test"]
        command += ["-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"]
        subprocess.run(command, check=True, capture_output=True)

    def free_port(self):
        return free_port()

    def start(self, cores, command, **options):
        child = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], **options)
        self.children.append(child)
        return child

    def stop(self, *children):
        for child in children or list(reversed(self.children)):
            child.send_signal(signal.SIGINT)
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            self.children.remove(child)

    def file(self, name, text):
        self.started += 1
        path = self.folder / f"{self.started}-{name}"
        path.write_text(text)
        return path

    def nginx(self, cores, http, workers=1):
        port = free_port()
        conf = self.file(
            "nginx.conf",
            f"daemon off; worker_processes {workers}; pid {self.folder}/{port}.pid; error_log {self.folder}/{port}.log;\n"
            "worker_rlimit_nofile 60000; events { worker_connections 30000; }\n"
            "http { keepalive_requests 100000000; client_max_body_size 1m; client_body_buffer_size 512k;\n"
            f"client_body_temp_path {self.folder}; proxy_temp_path {self.folder};\n" + http.replace("PORT", str(port)) + "}\n",
        )
        child = self.start(cores, [self.tools["nginx"], "-e", f"{self.folder}/{port}.log", "-c", conf, "-p", self.folder])
        wait_for(port, child)
        return child, port

    def provider(self, tls=False):
        """Starts a provider that responds to each request at once, and returns its port."""
        secure = f"ssl_certificate {self.folder}/cert.pem; ssl_certificate_key {self.folder}/key.pem;" if tls else ""
        http = (
            f"access_log off; server {{ listen 127.0.0.1:PORT{' ssl' if tls else ''}; {secure}\n"
            f"location / {{ default_type application/json; return 200 '{RESPONSE}'; }} }}\n"
        )
        return self.nginx(OTHER_CORE, http)[1]

    def streams(self):
        """Starts a provider that does what the prompt of each request says, and returns its port."""
        child = self.start(OTHER_CORE, [self.built / "examples/load", "provider"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return int(child.stdout.readline())

    def proxy(self, name, provider, tls=False, threads=1):
        """Starts a proxy, and returns its process and its port."""
        cores = PROXY_CORE if threads == 1 else f"{PROXY_CORE},{OTHER_CORE}"
        child, port = getattr(self, name.replace("-", "_") + "_proxy")(cores, provider, tls, threads)
        wait_for(port, child)
        return child, port

    # The load.

    def head(self, port):
        return self.heads.get(port, HEAD)

    def wrk(self, port, size, connections, seconds, cores=OTHER_CORE):
        """Sends requests in a closed loop, and returns how many."""
        script = self.file("post.lua", script_of_wrk(self.head(port), body(size)))
        command = ["taskset", "-c", cores, self.tools["wrk"], "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script, f"http://127.0.0.1:{port}"]
        output = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in output or "Socket errors" in output:
            sys.exit(f"requests failed:\n{output}")
        return int(re.search(r"(\d+) requests in", output)[1])

    def request(self, port, content):
        """A file with the bytes of a request with this body."""
        path, headers = self.head(port)
        lines = [f"POST {path} HTTP/1.1", "host: h", *(f"{name}: {value}" for name, value in headers.items()), f"content-length: {len(content)}"]
        return self.file("request", "\r\n".join(lines) + "\r\n\r\n" + content)

    def load(self, command, port, content, *arguments, seconds):
        """Runs benches/parts/load, and returns its summary."""
        command = ["taskset", "-c", OTHER_CORE, self.built / "examples/load", command, port, self.request(port, content), *arguments]
        summary = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60).stdout
        return json.loads(summary)

    def at_rate(self, port, rate, seconds, seed=0):
        return self.load("requests", port, body(300), 64, rate, seconds, seed, seconds=seconds)

    def alone(self, port, size, seconds):
        """Sends requests one after the other on one connection."""
        return self.load("alone", port, body(size), seconds, seconds=seconds)

    def events(self, port, seconds, size=300, streams=200, pace_us=40_000):
        """Opens streams with an event every 40 ms each, which is 5,000 events a second on 200 streams."""
        count = seconds * 1_000_000 // pace_us
        return self.load("clients", port, ordered(size, events=count, pace_us=pace_us), streams, count, pace_us, seconds=seconds)

    def hold(self, port, streams, size=300):
        """Opens streams that stay silent after an event, with a prompt of this size each."""
        return self.held("hold", port, ordered(size, events=3, pace_us=600_000_000), streams)

    def stall(self, port, connections, response):
        """Opens connections that request a response of this size, and stop reading it after its head."""
        return self.held("stall", port, ordered(300, size_of_response=response), connections)

    def held(self, what, port, content, count):
        command = [self.built / "examples/load", what, port, self.request(port, content), count]
        child = self.start(OTHER_CORE, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if child.stdout.readline() != "open\n":
            sys.exit("not all connections could be opened")
        return child

