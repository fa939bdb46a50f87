"""An isolated test bed for load: a network namespace, a provider, a gateway, and measurements of the gateway.

The network has public addresses, as the gateway does not limit private ones. It needs root, or permission to create
namespaces.
"""

import fcntl
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "attacks"))
import http1

HERE, GOOD = "203.0.113.1", "203.0.113.8"
KEY = http1.KEY
# The size that an empty packet counts as, in bytes.
PACKET = 40


def enter_own_network():
    """Restarts the script in a network namespace; inside of it, sets the addresses."""
    if "ALONE" not in os.environ:
        unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
        os.execvpe(unshare[0], [*unshare, sys.executable, *sys.argv], os.environ | {"ALONE": "yes"})
    set_address, set_flags, up = 0x8916, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH", b"lo", up))
        for name, address in [(b"lo:1", HERE), (b"lo:2", GOOD)]:
            where = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, set_address, struct.pack("16s16s", name, where))


def free_port():
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        return taken.getsockname()[1]


class Machine:
    def __init__(self, keygate, folder):
        self.keygate, self.folder, self.children = keygate, folder, []
        self.port, self.admin, self.provider = free_port(), free_port(), free_port()
        (folder / "nginx.conf").write_text(
            f"user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{ worker_connections 8000; }}\n"
            f"http {{ log_format size '$request_length'; access_log {folder}/provider size; keepalive_requests 100000000; client_body_temp_path {folder};\n"
            f"proxy_temp_path {folder}; server {{ listen 127.0.0.1:{self.provider} backlog=4096; location / {{ return 200 '{'y' * 700}'; }} }} }}\n"
        )
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        self.start([nginx, "-e", folder / "nginx.log", "-c", folder / "nginx.conf", "-p", folder])
        keys = folder / "keys.toml"
        keys.touch(mode=0o600)
        keys.write_text(f'[[key]]\nid = "a"\nhashes = ["sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"]\n')
        self.gateway = None

    def start(self, command, **options):
        child = subprocess.Popen(list(map(str, command)), **options)
        self.children.append(child)
        return child

    def serve(self, limit, server="threads = 1\nh2c = true\n", limits="connections_per_address = 5000, ", command=(), keygate=None):
        """Starts a new gateway with a limit of failed keys per address and minute, and more lines in its `[server]`."""
        if self.gateway:
            self.gateway.terminate()
            self.gateway.wait()
        config = self.folder / "gateway.toml"
        config.write_text(
            f'[server]\nlisten = "{HERE}:{self.port}"\nadmin = "127.0.0.1:{self.admin}"\nplain_http = true\n{server}'
            f'limits = {{ failed_keys_per_address = {limit}, {limits}requests_per_connection = 1000000000 }}\n'
            f'[providers.p]\nkind = "custom"\nbase_url = "http://127.0.0.1:{self.provider}"\ntoken = "inline:t"\n[[routes]]\nname = "r"\npath = "/p"\nprovider = "p"\n'
        )
        with open(os.devnull, "wb") as null:
            self.gateway = self.start([*command, keygate or self.keygate, "run", "--allow-root", "--config", config], stdout=null, stderr=null)
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex((HERE, self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit("the gateway does not start to serve")

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
            child.wait()

    def cpu(self):
        fields = Path(f"/proc/{self.gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.gateway.pid}/status").read_text())[1]) << 10

    def codes(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics") as metrics:
            found = re.findall(r'^keygate_requests_total\{code="(\d+)".*? (\d+)$', metrics.read().decode(), re.M)
        counts = {}
        for code, count in found:
            counts[code] = counts.get(code, 0) + int(count)
        return counts

    def exchanges(self):
        """The number of requests in flight."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as metrics:
            return int(re.search(r"^keygate_inflight_requests (\d+)$", metrics.read().decode(), re.M)[1])

    def provider_requests(self):
        """The number of requests that reached the provider, and their bytes."""
        lines = (self.folder / "provider").read_text().split()
        return len(lines), sum(map(int, lines))

    def wrk(self, key, seconds, connections=32):
        script = self.folder / "post.lua"
        script.write_text(f"wrk.method = 'POST'\nwrk.path = '/p'\nwrk.body = '{'x' * 300}'\nwrk.headers['api-key'] = '{key}'\n")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://{HERE}:{self.port}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)


class Peak:
    """Measures the gateway's peak memory while the context is active."""

    def __init__(self, machine):
        self.machine, self.most, self.over = machine, machine.memory(), threading.Event()
        self.watch = threading.Thread(target=self.sample)

    def sample(self):
        while not self.over.wait(0.005):
            try:
                self.most = max(self.most, self.machine.memory())
            except (OSError, TypeError):
                # The gateway has ended.
                return

    def __enter__(self):
        self.watch.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.watch.join()
