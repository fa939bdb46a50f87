"""Clients that send their prompts in small parts and read long responses slowly, as a part of the training."""

import asyncio
import socket
import ssl

from comparison.work import body

# Bytes, and seconds between them.
SENT, READ, PAUSE = 4_096, 16_384, 0.01


async def converse(port, key, path, size, context):
    """Sends a request with a prompt of `size` bytes slowly, and reads the response slowly."""
    sock = socket.socket()
    # A small receive buffer, so that the gateway notices that its client is slow.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    secure = {"ssl": context, "server_hostname": "provider.test"} if context else {}
    reader, writer = await asyncio.open_connection(sock=sock, limit=READ, **secure)
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
    request = (head + body(size)).encode()
    for start in range(0, len(request), SENT):
        writer.write(request[start:start + SENT])
        await writer.drain()
        await asyncio.sleep(PAUSE)
    status = await reader.readline()
    assert status.startswith(b"HTTP/1.1 200"), status
    received = 0
    while chunk := await reader.read(READ):
        received += len(chunk)
        await asyncio.sleep(PAUSE)
    writer.close()
    return received


async def all_at_once(port, key, path, sizes, certificate, clients, response):
    context = ssl.create_default_context(cafile=certificate) if certificate else None
    work = [converse(port, key, path, sizes[number % len(sizes)], context) for number in range(clients)]
    for received in await asyncio.gather(*work):
        # The headers are in it too.
        assert received > response, f"a response broke off after {received} bytes"


def train_slowly(port, key, path, sizes, certificate, clients, response):
    """Runs this many clients at once. `response` is the size in bytes of the body at `path`."""
    asyncio.run(all_at_once(port, key, path, sizes, certificate, clients, response))
