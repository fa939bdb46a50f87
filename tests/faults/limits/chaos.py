"""Whatever clients and providers do, nothing stays reserved and every slot comes back."""

import asyncio
import base64
import contextlib
import os
import random
import ssl
import subprocess
from pathlib import Path

import house

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError:
    h2 = None

SLOTS = 20
LIMITS = (
    house.budget(900_000 * house.BILLION, 'reserve = "estimate"')
    + house.limit("most", 'budget = "900000 per year"\nreserve = "max"')
    + house.limit("output", 'output_tokens = "1000G per month"')
    + house.limit("small", 'tokens = "1000G per month"\nmodels = ["m"]')
    + house.limit("count", f'requests = ["100M per month", "100M per minute"]\nparallel = {SLOTS}')
)
COUNTED = ("money", "most", "output", "small", "count")


def ask(random):
    """What a request asks for, and over which key."""
    asked = {"max_tokens": random.randint(0, 12), "input": random.randint(1, 20), "stream": random.random() < 0.5}
    if random.random() < 0.2:
        # More than the gateway holds, so that it goes up as it comes.
        asked["pad"] = "x" * random.choice((3_000, 70_000))
        asked["input"] = len(asked["pad"]) // 4
    kind = random.random()
    if kind < 0.25:
        asked["fault"] = random.choice(("nothing", "reset", "head", "body", "stream", "chunk", "length", "late", "close"))
    elif kind < 0.26:
        asked["fault"] = random.choice(("silent", "stall"))
    elif kind < 0.35:
        asked["status"] = random.choice((400, 401, 429, 500, 503))
    elif kind < 0.4:
        asked["model"] = "unknown"
    elif kind < 0.41:
        # Longer than an exchange may take.
        asked |= {"stream": True, "pause": 0.3, "max_tokens": 12}
    elif kind < 0.5:
        asked |= {"pause": 0.02}
    return asked, random.choice(("alice", "alice", "bob"))


async def http1(gateway, random):
    """A request over HTTP/1.1, whose client leaves at any point or stays."""
    asked, key = ask(random)
    if random.random() < 0.05:
        raw = house.raw_request(gateway.keys[key], {}, *random.choice(((b"GET", b"/p/models"), (b"POST", b"/p/v1/batches"), (b"DELETE", b"/p/x"))))
    else:
        raw = house.raw_request(gateway.keys[key], asked)
    connection = await gateway.connect()
    leave = connection.reset if random.random() < 0.5 else connection.close
    way = random.random()
    try:
        if way < 0.1:
            connection.writer.write(raw[: random.randrange(len(raw))])
            await connection.writer.drain()
        elif way < 0.2:
            connection.writer.write(raw)
            await asyncio.sleep(random.random() * random.choice((0, 0.01, 0.05)))
        elif way < 0.35:
            connection.writer.write(raw)
            async with asyncio.timeout(5):
                await connection.reader.read(random.choice((1, 200, 2_000)))
        elif way < 0.4:
            await talk(gateway, connection, key)
        else:
            for _ in range(random.choice((1, 1, 3))):
                await connection.exchange(gateway.keys[key], asked)
                if not connection.usable:
                    break
                asked, _ = ask(random)
    except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
        pass
    finally:
        leave()


async def talk(gateway, connection, key):
    """Opens a WebSocket."""
    name = base64.b64encode(os.urandom(16))
    head = b"GET /p/v1/realtime HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %s\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    connection.writer.write(head % gateway.keys[key] + b"sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n" % name)
    async with asyncio.timeout(5):
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.writer.write(b"\x81\x82\0\0\0\0{}")
        await connection.reader.read(10)


async def http2(gateway, random):
    """Some requests over one HTTP/2 connection, some of which are reset; then the connection ends somehow."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    opened = {}
    for _ in range(random.randint(1, 6)):
        asked, key = ask(random)
        head, body = house.raw_request(gateway.keys[key], asked).split(b"\r\n\r\n", 1)
        number = client.get_next_available_stream_id()
        lines = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[2:]]
        client.send_headers(number, [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/p/chat/completions"), *lines])
        opened[number] = random.random()
        if opened[number] < 0.1:
            client.reset_stream(number)
        elif opened[number] < 0.2:
            client.send_data(number, body[:5])
        elif len(body) < 16_000:
            client.send_data(number, body, end_stream=True)
    try:
        until = asyncio.get_running_loop().time() + random.random() * 0.3
        while asyncio.get_running_loop().time() < until:
            writer.write(client.data_to_send())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    data = await reader.read(65536)
                    if not data:
                        break
                    for event in client.receive_data(data):
                        number = getattr(event, "stream_id", None)
                        if isinstance(event, h2.events.DataReceived):
                            client.acknowledge_received_data(event.flow_controlled_length, number)
                        if isinstance(event, (h2.events.ResponseReceived, h2.events.DataReceived)) and opened.get(number, 1) < 0.4:
                            opened[number] = 1
                            client.reset_stream(number)
    except (OSError, h2.exceptions.ProtocolError):
        pass
    finally:
        house.reset(writer) if random.random() < 0.5 else writer.close()


async def revoke(gateway):
    """Disables a key and enables it again, over and over."""
    while True:
        for edit in ("disable", "enable"):
            command = [gateway.keygate, "keys", edit, "bob", "--file", gateway.folder / "keys.toml"]
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await process.wait()
            await asyncio.sleep(0.4)


async def check_idle(gateway, slots=SLOTS):
    """Nothing is reserved, and as many requests as ever are admitted at once."""
    for attempt in range(100):
        waiting = [asyncio.create_task(gateway.ask(pause=0.7, max_tokens=1)) for _ in range(slots)]
        await asyncio.sleep(0.5)
        more = await gateway.ask()
        full = [response.status for response in await asyncio.gather(*waiting)]
        # The last exchanges end when a timeout of theirs does.
        if full == [200] * slots:
            break
        await asyncio.sleep(0.1)
    assert full == [200] * slots, f"slots are taken: {full}"
    assert (more.status, more.code) == (429, "parallel_limit"), more
    held = lambda: [row for row in gateway.report() if row["reserved"] or (row["counts"] == "parallel" and row["used"])]
    assert len(gateway.report()) >= len(COUNTED)
    await gateway.until(lambda: not held(), "gives everything back")
    # What is used is written within a second or two. What is reserved beside counts as used when the process ends.
    idle = None
    while idle != (now := [gateway.used(name) for name in COUNTED]):
        idle = now
        await asyncio.sleep(2.2)
    await gateway.stop()
    ended = [gateway.used(name) for name in COUNTED]
    assert idle == ended, f"{idle} are used, and {ended} with what is reserved"
    return ended


async def test_after_clients_and_providers_that_break_off_anywhere_nothing_is_reserved(keygate, long):
    provider = await house.Provider().start()
    server = 'h2c = true\nlimits.held_body = "2KiB"\n[keys]\nrevoked_streams = "cut"'
    with house.Gateway(keygate, provider, LIMITS, server=server, timeouts='connect = "1s", first_byte = "1s", idle = "1s", total = "3s"') as gateway:
        await gateway.start()
        revoking = asyncio.create_task(revoke(gateway))
        left = 1_000_000 if long else 800
        seed = int.from_bytes(os.urandom(4))
        chance = random.Random(seed)

        async def work():
            nonlocal left
            while left > 0:
                left -= 1
                way = http2 if h2 and chance.random() < 0.2 else http1
                await way(gateway, chance)

        try:
            await asyncio.gather(*(work() for _ in range(24)))
        finally:
            revoking.cancel()
        used = await check_idle(gateway)
        assert "panicked" not in gateway.events()
        bill = provider.bill
        # Nobody is charged nothing who was billed: those that left pay for what they got.
        assert used[0] > bill.cost * 0.5 and used[1] >= used[0], (used, bill)
        return f"seed {seed}; {sum(provider.received.values())} requests reached the provider, {bill.requests} were billed; {used[0] / bill.cost:.0%} of their cost counted, {used[1] / bill.cost:.0%} where the most is reserved"


def tls(folder):
    """A certificate for the gateway, and a context of clients that trust it."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split()
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    return ssl.create_default_context(cafile=folder / "cert.pem")


async def test_a_panic_while_a_request_is_sent_gives_back_what_it_held(keygate, long):
    """A send() to the provider returns more than it was given, at which the writer panics. Those to clients are TLS, which
    the shim leaves alone."""
    provider = await house.Provider().start()
    source = Path(__file__).resolve().parent.parent / "panicking_send.c"
    server = 'tls = { certificate = "cert.pem", key = "file:key.pem" }'
    with house.Gateway(keygate, provider, LIMITS, server=server) as gateway:
        gateway.tls, shim, panic = tls(gateway.folder), gateway.folder / "shim.so", gateway.folder / "panic"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        await gateway.start(environment={"LD_PRELOAD": str(shim), "PANIC_AT": str(panic), "RUST_BACKTRACE": "0"})
        panics = 200 if long else 2 * SLOTS + 2
        for number in range(panics):
            panic.with_suffix(".new").write_text(str(1 + number % 2))
            panic.with_suffix(".new").rename(panic)
            pad = "x" * (200_000 if number % 2 else 1)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await gateway.ask(pad=pad, stream=number % 4 < 2)
            while panic.exists():
                await gateway.ask()
        # The log shows twenty lines of a kind in ten seconds.
        assert gateway.events().count("panicked at") >= 20 and not gateway.is_gone(gateway.pids[-1])
        await check_idle(gateway)
        return f"{panics} panics"
