"""Attacks over HTTP/2, by the rules of RFC 9113 that each breaks, and the HTTP/1.1 attacks that HTTP/2 can express.

Each is a name, a function that makes the bytes for a connection's first stream, and what has to become of it; see
http1.py. Frames are made by hand (hyperframe, hpack), for no library would send them.
"""

import http1
from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, PushPromiseFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ALL = []


def octets(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def block(fields):
    """Encodes header fields as literals that are never indexed, byte for byte."""
    return Encoder().encode([NeverIndexedHeaderTuple(octets(name), octets(value)) for name, value in fields], huffman=False)


def fields(*more, method="POST", path="/p", authority="h", scheme="http", key=http1.KEY, first=()):
    pseudo = [(":method", method), (":path", path), (":authority", authority), (":scheme", scheme)]
    return [*first, *((name, value) for name, value in pseudo if value is not None), *([("api-key", key)] if key else []), *more]


def headers(given, stream=1, flags=("END_HEADERS", "END_STREAM")):
    return HeadersFrame(stream, block(given), flags=list(flags)).serialize()


def data(given, stream=1, flags=("END_STREAM",), **more):
    return DataFrame(stream, octets(given), flags=list(flags), **more).serialize()


def raw(kind, flags, stream, payload):
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def attack(name, frames, becomes):
    ALL.append((name, frames, becomes))


def head(name, becomes, *more, **how):
    attack(name, headers(fields(*more, **how)), becomes)


OPEN = ("END_HEADERS",)

# Attacks that both versions can express.
for line in http1.REQUEST_LINES:
    parts = line.split(" ")
    # The library strips a fragment.
    if len(parts) == 3 and "#" not in line and parts[2] == "HTTP/1.1" and parts[0] and parts[1] and not parts[1].startswith(("http:/", "ftp:", "http:h")):
        head(f"request line {line[:40]!r}", "refused", method=parts[0], path=parts[1])
for line in http1.HEADER_LINES:
    name, colon, value = line.partition(":")
    if colon and not line.startswith(("x : z", " ")):
        head(f"header line {line!r}", "refused", (name, value.strip(" ")))
for value in http1.CODINGS:
    head(f"transfer-encoding {value!r}", "refused", ("transfer-encoding", value))
for value in http1.LENGTHS:
    head(f"content-length {value!r}", "refused", ("content-length", value))
for host in http1.HOSTS:
    if host and host.startswith("Host: ") and "\r\n" not in host:
        head(f"authority {host!r}", "refused", authority=host[6:])
        head(f"host {host!r}", "refused", ("host", host[6:]), authority=None)
for lines, becomes in [(http1.BAD_KEYS, "refused"), (http1.GOOD_KEYS, "one")]:
    for given in lines:
        pairs = [line.split(":", 1) for line in (given or "").split("\r\n") if line]
        if all(name == name.strip() for name, _ in pairs):
            head(f"key {given and given[:60]!r}", becomes, *((name.lower(), value.strip(" ")) for name, value in pairs), key=None)
for line in http1.PASSING:
    if not line.startswith(("Connection:", "Keep-Alive", "Proxy-Connection", "Upgrade", "TE:", "Expect")):
        name, _, value = line.partition(": ")
        head(f"passes: {line[:40]!r}", "one", (name.lower(), value))

# Fields: RFC 9113, 8.2 and 8.3.
for name, value in [
    ("Api-Key", "x"), ("X", "y"), ("connection", "close"), ("connection", "api-key"), ("keep-alive", "x"), ("proxy-connection", "x"), ("upgrade", "h2c"),
    ("upgrade", "websocket"), ("transfer-encoding", "chunked"), ("te", "gzip"), ("te", "trailers, gzip"), ("", "x"), (":x", "y"), (":status", "200"), (":protocol", "websocket"),
    ("x:y", "z"), ("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "a\rb"), ("x", "a\0b"), ("x\r\ny", "z"), ("x y", "z"), ("x_api_key", "z"), ("x_forwarded-for", "z"), ("openai_project", "z"), ("host", "evil"), ("host", ""),
    ("x", "y\r\n\r\nGET /p/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"), ("x: y\r\napi-key", "z"),
]:
    head(f"field {name!r}: {value[:20]!r}", "refused", (name, value))
for value in [" x", "x ", "\tx", "x\t", " ", f"{http1.KEY} "]:
    head(f"space around a value {value!r}", "refused", ("x", value))
head("te: trailers", "one", ("te", "trailers"))
head("a name with an underscore", "one", ("session_id", "1"))
for name in ["method", "path", "scheme"]:
    head(f"no :{name}", "refused", **{name: None})
    # The gateway ignores the scheme.
    head(f"an empty :{name}", "one or refused" if name == "scheme" else "refused", **{name: ""})
head("a fragment", "one", path="/p#x")
head("no :authority and no host", "refused", authority=None)
for name, value in [(":method", "GET"), (":path", "/x"), (":scheme", "https"), (":authority", "evil"), (":path", "/p"), (":authority", "h")]:
    head(f"two {name}", "refused", first=[(name, value)])
    attack(f"{name} after a field", headers([("x", "y"), *fields()]), "refused")
for path in ["p", "*", "", "/p smuggled", "/p\r\nx: y", "/p HTTP/1.1\r\nHost: h\r\n\r\nGET /p/smuggled", "/p\0", "http://evil/p", "//evil/p", "/p\t", "h:80", "?x"]:
    head(f"path {path[:30]!r}", "refused", path=path)
for method in ["CONNECT", "TRACE", "PO ST", "GET /p/smuggled HTTP/1.1\r\n", "P\0ST", "", "GET\t"]:
    head(f"method {method[:20]!r}", "refused", method=method)
attack("CONNECT without a path", headers(fields(method="CONNECT", path=None, scheme=None)), "refused")
attack("extended CONNECT", headers(fields((":protocol", "websocket"), method="CONNECT")), "refused")
for scheme in ["http\r\n", "ht tp", "http://evil/"]:
    head(f"scheme {scheme!r}", "refused", scheme=scheme)
for authority in ["h\r\nx: y", "h evil", "h/evil", "user@h", "h,evil", "h\0", "evil:x"]:
    head(f"authority {authority!r}", "refused", authority=authority)
head("a value of 17 KiB", "refused", ("x", "y" * 17_000))
head("101 fields", "refused", *((f"x{n}", "y") for n in range(101)))
head("two lengths", "refused", ("content-length", "0"), ("content-length", "0"))
head("a length and no body", "refused", ("content-length", "5"))

# A body that differs from its content-length: 8.1.1. The head is good, and may have been sent to the provider.
for length, sent in [("5", "xxxxxx"), ("5", "xxxx"), ("0", "x"), ("1", ""), ("5", "xxxxx" + http1.INNER)]:
    attack(f"a length of {length} and {len(sent)} bytes", headers(fields(("content-length", length)), flags=OPEN) + data(sent), "begun")
attack("a body with a request in it", headers(fields(), flags=OPEN) + data(http1.INNER), "one")
attack("a length, and a body with a request in it", headers(fields(("content-length", str(len(http1.INNER)))), flags=OPEN) + data(http1.INNER), "one")
attack("no key, and a body with a request in it", headers(fields(key=None), flags=OPEN) + data(http1.INNER), "refused")
attack("an empty body in 50 frames", headers(fields(), flags=OPEN) + data("", flags=()) * 50 + data(""), "one")
attack("padding", headers(fields(), flags=OPEN) + data("x", flags=("END_STREAM", "PADDED"), pad_length=200), "one")
for name, value in [("x", "y"), ("content-length", "9"), ("transfer-encoding", "chunked"), ("api-key", "other"), ("authorization", "Bearer theirs"), ("host", "evil"), (":path", "/p/smuggled"), ("X", "y")]:
    attack(f"trailer {name}", headers(fields(), flags=OPEN) + data("x", flags=()) + headers([(name, value)]), "one or begun")
attack("trailers that do not end", headers(fields(), flags=OPEN) + data("x", flags=()) + headers([("x", "y")], flags=OPEN), "begun")

# Frames: 4, 5 and 6. The connection ends, or the stream.
attack("DATA after the end", headers(fields()) + data(http1.INNER), "one or begun")
attack("a second head after the end", headers(fields()) + headers(fields(path="/p/smuggled", key=None)), "one or begun")
attack("DATA of a stream that is not there", data(http1.INNER, stream=1), "refused")
attack("DATA of the connection", raw(0, 1, 0, b"x"), "refused")
attack("HEADERS of the connection", raw(1, 5, 0, block(fields())), "refused")
attack("HEADERS of an even stream", headers(fields(), stream=2), "refused")
attack("HEADERS of a stream of before", headers(fields(), stream=5) + headers(fields(path="/p/smuggled", key=None), stream=3), "one or begun")
attack("CONTINUATION without HEADERS", ContinuationFrame(1, block(fields()), flags=["END_HEADERS"]).serialize(), "refused")
attack("HEADERS in fragments", raw(1, 1, 1, block(fields())[:10]) + raw(9, 4, 1, block(fields())[10:]), "one")
attack("a PING between the fragments", raw(1, 1, 1, block(fields())[:10]) + PingFrame(0, b"12345678").serialize() + raw(9, 4, 1, block(fields())[10:]), "refused")
attack("another stream between the fragments", raw(1, 1, 1, block(fields())[:10]) + headers(fields(), stream=3), "refused")
attack("fragments of another stream", raw(1, 1, 1, block(fields())[:10]) + raw(9, 4, 3, block(fields())[10:]), "refused")
attack("2,000 empty fragments", raw(1, 1, 1, block(fields())) + raw(9, 0, 1, b"") * 2000 + raw(9, 4, 1, b""), "one or refused")
attack("fragments of 1 MiB in all", raw(1, 1, 1, block(fields())) + raw(9, 0, 1, block([("x", "y" * 16_000)])) * 64 + raw(9, 4, 1, b""), "refused")
attack("a block that is no HPACK", raw(1, 5, 1, b"\xff" * 20), "refused")
attack("a block that is cut", raw(1, 5, 1, block(fields())[:-3]), "refused")
attack("an index that is not there", raw(1, 5, 1, block(fields()) + b"\xfe"), "refused")
attack("an integer without an end", raw(1, 5, 1, block(fields()) + b"\x7f" + b"\xff" * 12), "refused")
attack("a table size above the limit", raw(1, 5, 1, b"\x3f\xff\xff\xff\x7f" + block(fields())), "refused")
attack("a table size in the middle", raw(1, 5, 1, block(fields()) + b"\x20"), "one or refused")
attack("a field 4,000 times out of the table", raw(1, 5, 1, b"\x40\x01x\x7f\xf9\x1e" + b"y" * 4088 + block(fields()) + b"\xbe" * 4000), "refused")
attack("more padding than frame", raw(0, 9, 1, b"\x50x"), "refused")
attack("HEADERS with more padding than frame", raw(1, 13, 1, b"\xff" + block(fields())), "refused")
attack("a stream that depends on itself", raw(1, 0x25, 1, b"\0\0\0\1\0" + block(fields())), "one or refused")
attack("PRIORITY of itself", PriorityFrame(1, depends_on=1).serialize() + headers(fields()), "one or refused")
attack("PRIORITY too short", raw(2, 0, 1, b"x") + headers(fields()), "one or refused")
attack("PUSH_PROMISE of a client", headers(fields(), flags=OPEN) + PushPromiseFrame(1, 2, block(fields(path="/p/smuggled", key=None)), flags=["END_HEADERS"]).serialize(), "begun")
attack("RST_STREAM of a stream that is not there", RstStreamFrame(1, 8).serialize(), "refused")
attack("RST_STREAM too short", raw(3, 0, 1, b"x"), "refused")
attack("RST_STREAM of the connection", raw(3, 0, 0, b"\0\0\0\0"), "refused")
attack("SETTINGS of a stream", raw(4, 0, 1, b""), "refused")
attack("SETTINGS too short", raw(4, 0, 0, b"xxx"), "refused")
attack("a SETTINGS acknowledgement with a payload", raw(4, 1, 0, b"x" * 6), "refused")
attack("SETTINGS: push is 2", SettingsFrame(0, settings={2: 2}).serialize(), "refused")
attack("SETTINGS: a window above 2^31", SettingsFrame(0, settings={4: 2**31}).serialize(), "refused")
attack("SETTINGS: a frame size of 1", SettingsFrame(0, settings={5: 1}).serialize(), "refused")
attack("unknown SETTINGS", SettingsFrame(0, settings={0x99: 1}).serialize() + headers(fields()), "one")
attack("PING too short", raw(6, 0, 0, b"x"), "refused")
attack("PING of a stream", raw(6, 0, 1, b"12345678"), "refused")
attack("GOAWAY of a stream", raw(7, 0, 1, b"\0" * 8), "refused")
attack("GOAWAY, and a request", GoAwayFrame(0).serialize() + headers(fields()), "one or refused")
attack("WINDOW_UPDATE of 0", WindowUpdateFrame(0, 1).serialize()[:-4] + b"\0\0\0\0", "refused")
attack("WINDOW_UPDATE too far", WindowUpdateFrame(0, 2**31 - 1).serialize() * 2, "refused")
attack("WINDOW_UPDATE too short", raw(8, 0, 0, b"x"), "refused")
attack("a frame of 17 KiB", raw(0, 1, 1, b"x" * 17_000), "refused")
attack("a frame of an unknown type", raw(0x55, 0xFF, 0, b"x" * 100) + headers(fields()), "one")
attack("HTTP/1.1 in the middle", octets(http1.head()) + octets(http1.INNER), "refused")
attack("another preface", PREFACE + headers(fields()), "refused")
