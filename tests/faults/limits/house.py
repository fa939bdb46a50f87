"""A provider that keeps books, a gateway with a ledger, and clients, for the tests in this folder."""

import asyncio
import collections
import dataclasses
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

# The cost of a token of input and of output, in billionths: as the price file below says.
INPUT, OUTPUT = 1_000, 10_000
PRICES = '[[price]]\nmodel = "m"\ninput = "1"\noutput = "10"\n'
BILLION = 1_000_000_000
TIMEOUTS = 'connect = "1s", first_byte = "1s", idle = "1s", total = "20s"'


@dataclasses.dataclass
class Bill:
    """What a provider has billed."""

    requests: int = 0
    input: int = 0
    output: int = 0

    @property
    def cost(self):
        return self.input * INPUT + self.output * OUTPUT


class Provider:
    """Does what the body of each request says.

    `input`: the tokens that it counts as input; `max_tokens`: those of its output, all of which it uses; `stream`: an event
    a token; `pause`: seconds before each event, or before the whole response; `status`: refuses with it, and bills nothing;
    `fault`: breaks off (see `FAULTS`). It bills before it sends.
    """

    FAULTS = ("nothing", "reset", "head", "silent", "body", "stream", "chunk", "stall", "length")

    def __init__(self):
        self.bill, self.received = Bill(), collections.Counter()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if re.search(rb"(?i)\r\nupgrade: websocket", head):
            return await self.talk(reader, writer)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        asked = json.loads(await reader.readexactly(int(length[1]))) if length else {}
        fault = asked.get("fault")
        self.received[asked.get("number")] += 1
        if fault == "nothing":
            return False
        if fault == "reset":
            return reset(writer)
        if status := asked.get("status"):
            writer.write(b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\n{}" % status)
            return True
        self.bill.requests += 1
        if fault == "silent":
            await asyncio.sleep(3)
            return False
        used = {"prompt_tokens": asked.get("input", 10), "completion_tokens": asked.get("max_tokens", 5)}
        body = {"model": asked.get("model", "m"), "choices": [{}], "usage": used}
        if asked.get("stream"):
            return await self.stream(writer, asked, fault, body)
        await asyncio.sleep(asked.get("pause", 0))
        self.bill.input += used["prompt_tokens"]
        self.bill.output += used["completion_tokens"]
        body = json.dumps(body).encode()
        if fault == "head":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            return False
        close = b"connection: close\r\n" if fault == "close" else b""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n" % (close, len(body)))
        writer.write(body[:20] if fault in ("body", "length") else body)
        if fault == "length":
            return reset(writer)
        # With the fault "late", it closes a connection that it said it keeps.
        return fault not in ("body", "close", "late")

    async def stream(self, writer, asked, fault, body):
        usage = body.pop("usage")
        chunk = lambda event: b"%x\r\n%s\r\n" % (len(event), event)
        event = b"data: %s\n\n" % json.dumps(body | {"choices": [{"delta": {"content": "x"}}]}).encode()
        self.bill.input += usage["prompt_tokens"]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(usage["completion_tokens"]):
            if fault and number == 3:
                writer.write(b"40\r\ndata: {" if fault == "chunk" else b"")
                await asyncio.sleep(3 if fault == "stall" else 0)
                return False
            self.bill.output += 1
            writer.write(chunk(event))
            await writer.drain()
            if pause := asked.get("pause"):
                await asyncio.sleep(pause)
        writer.write(chunk(b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(body | {"choices": [], "usage": usage}).encode()) + b"0\r\n\r\n")
        return True

    async def talk(self, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n\x81\x02{}")
        await reader.read(100)
        return False


def reset(writer):
    """Closes the connection by a reset."""
    connected = writer.get_extra_info("socket")
    if connected is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()
    return False


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def is_alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and "Z" not in stat.read_text().rsplit(")", 1)[1].split()[0]


class Gateway:
    """A gateway in a folder of its own. Each start, and each upgrade, is a new process at the same address."""

    def __init__(self, keygate, provider, limits, server="", top="", timeouts=TIMEOUTS):
        self.keygate, self.provider = Path(keygate).resolve(), provider
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.port, self.admin = free_port(), free_port()
        self.config, self.ledger, self.log = self.folder / "gateway.toml", self.folder / "state" / "ledger.db", self.folder / "events"
        self.ledger.parent.mkdir(mode=0o700)
        self.server, self.top, self.timeouts, self.tls = server, top, timeouts, None
        self.children, self.pids = [], []
        (self.folder / "prices.toml").write_text(PRICES)
        self.configure(limits)
        self.keys = {name: self.create_key(name) for name in ("alice", "bob")}
        self.log.touch()

    def create_key(self, name):
        create = [self.keygate, "keys", "create", "--id", name, "--file", self.folder / "keys.toml"]
        return subprocess.run(create, capture_output=True, check=True).stdout.strip()

    def configure(self, limits):
        """Writes the configuration, at once whole."""
        text = (
            f'[server]\nlisten = "127.0.0.1:{self.port}"\nadmin = "127.0.0.1:{self.admin}"\naccess_log = false\nthreads = 2\n{self.server}\n'
            f'[usage]\nprices = "prices.toml"\nlimit_headers = "all"\n{self.top}\n'
            '[ledger]\nstore = "state/ledger.db"\n'
            f'[providers.p]\nkind = "custom"\nbase_url = "http://127.0.0.1:{self.provider.port}"\ntoken = "inline:t"\n'
            f'timeouts = {{ {self.timeouts} }}\n'
            f'[[routes]]\nname = "r"\npath = "/p"\nprovider = "p"\nwebsocket = true\n{limits}'
        )
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.rename(self.config)

    def events(self):
        return self.log.read_text(errors="replace")

    async def start(self, before=(), environment=None):
        """Starts a process, under the command `before`, and waits until it serves."""
        said = len(self.events())
        command = [*before, self.keygate, "run", "--allow-root", "--config", self.config]
        with self.log.open("a") as events:
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=events, env=os.environ | (environment or {}))
        self.children.append(child)
        self.pids.append(child.pid)
        await self.until(lambda: "serving" in self.events()[said:] or child.poll() is not None, "serves", 30)
        assert child.poll() is None, self.events()[-3000:]
        return child

    async def until(self, condition, what, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it never {what}; {self.events()[-3000:]}"
            await asyncio.sleep(0.02)

    async def upgrade(self):
        """Another process takes over."""
        command = [self.keygate, "upgrade", "--config", self.config]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output + self.events()[-2000:]
        self.pids.append(int(re.match(r"process (\d+) ", output)[1]))

    async def reload(self, limits):
        self.configure(limits)
        process = await asyncio.create_subprocess_exec(self.keygate, "reload", "--config", self.config, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output

    async def kill(self):
        self.children[-1].kill()
        self.children[-1].wait()

    async def stop(self):
        """Ends the newest process in order."""
        os.kill(self.pids[-1], signal.SIGTERM)
        await self.until(lambda: self.is_gone(self.pids[-1]), "ends", 30)

    def is_gone(self, pid):
        for child in self.children:
            child.poll()
        return not is_alive(pid)

    def close(self):
        for pid in self.pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        for child in self.children:
            child.wait()
        self.temporary.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not isinstance(error, KeyboardInterrupt):
            print(self.events()[-4000:])
        self.close()

    def query(self, sql, *values):
        ledger = sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=20)
        try:
            return ledger.execute(sql, values).fetchall()
        finally:
            ledger.close()

    def sums(self, name):
        """What the ledger has as issued and as used of a limit, by all processes in all periods."""
        sql = "SELECT coalesce(sum(issued), 0), coalesce(sum(used), 0) FROM share JOIN account ON account.id = share.account WHERE account.name = ?"
        return self.query(sql, name)[0]

    def used(self, name):
        return self.sums(name)[1]

    def report(self):
        """What the gateway itself says of its limits."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/limits", timeout=10) as response:
            return json.load(response)["limits"]

    async def connect(self):
        name = "localhost" if self.tls else None
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname=name))

    async def ask(self, **asked):
        """One request on a connection of its own. Returns its response."""
        connection = await self.connect()
        try:
            return await connection.exchange(self.keys["alice"], asked)
        finally:
            connection.close()


@dataclasses.dataclass
class Response:
    status: int
    head: bytes
    body: bytes

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"] if self.status != 200 else None

    def header(self, name):
        found = re.search(rb"(?i)\r\n%s: ([^\r]*)" % name.encode(), self.head)
        return found and found[1].decode()


def raw_request(key, asked, method=b"POST", path=b"/p/chat/completions"):
    body = json.dumps({"model": "m"} | asked).encode()
    head = b"%s %s HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (method, path, key, len(body)) + body


class Connection:
    """A client's connection, HTTP/1.1."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.usable = reader, writer, True

    async def exchange(self, key, asked):
        self.writer.write(raw_request(key, asked))
        head = await self.reader.readuntil(b"\r\n\r\n")
        if re.search(rb"(?i)\r\nconnection: close\r\n", head):
            self.usable = False
        if length := re.search(rb"(?i)content-length: (\d+)", head):
            return Response(int(head[9:12]), head, await self.reader.readexactly(int(length[1])))
        text = b""
        while size := int(await self.reader.readline(), 16):
            text += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return Response(int(head[9:12]), head, text)

    def reset(self):
        reset(self.writer)

    def close(self):
        self.writer.close()


def limit(name, rest):
    return f'[[limits]]\nname = "{name}"\nof = "gateway"\n{rest}\n'


def budget(billionths, rest=""):
    """A limit of money of a month."""
    return limit("money", f'budget = "{billionths / BILLION:.9f} per month"\n{rest}')


class Load:
    """Clients that send requests all the time, on kept connections."""

    def __init__(self, gateway, clients, asked, key="alice"):
        self.gateway, self.asked, self.key, self.ending = gateway, asked, key, False
        self.statuses, self.codes, self.cut = collections.Counter(), collections.Counter(), 0
        self.tasks = [asyncio.create_task(self.work(number)) for number in range(clients)]

    async def work(self, number):
        while not self.ending:
            connection = None
            try:
                connection = await self.gateway.connect()
                while connection.usable and not self.ending:
                    response = await connection.exchange(self.gateway.keys[self.key], self.asked(number))
                    self.statuses[response.status] += 1
                    if response.status != 200:
                        self.codes[response.code] += 1
                        await asyncio.sleep(0.01)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.cut += 1
                await asyncio.sleep(0.02)
            finally:
                if connection:
                    connection.close()

    async def end(self):
        self.ending = True
        await asyncio.gather(*self.tasks)
