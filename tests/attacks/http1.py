"""Attacks over HTTP/1.1, by the rules of RFC 9110 and RFC 9112 that each breaks.

Each attack is a name, the bytes, and the required outcome:

    refused   nothing of it reaches the provider
    one       it is a good request, and reaches the provider once, like every good request
    begun     its head is good and its body is not: at most the head reaches the provider, and never a whole body

A request that an attack tries to smuggle has `smuggled` in its path and no key: it must never reach the provider.
"""

KEY = "kg-attack-client-key"
INNER = "GET /p/smuggled HTTP/1.1\r\nHost: h\r\nx-inner: 1\r\n\r\n"

ALL = []


def attack(name, raw, becomes):
    ALL.append((name, raw if isinstance(raw, bytes) else raw.encode("latin-1"), becomes))


def head(*lines, line="POST /p HTTP/1.1", host="Host: h", key=f"api-key: {KEY}"):
    """A request head; lines that are `None` are left out."""
    return "\r\n".join(filter(None, [line, host, key, *lines])) + "\r\n\r\n"


def framed(name, value, body, becomes="refused"):
    """An attack by a header about the body's length."""
    attack(f"{name}: {value!r}", head(f"{name}: {value}") + body, becomes)


CHUNKED_INNER = f"0\r\n\r\n{INNER}"
LENGTH = len(CHUNKED_INNER)

# Two framings: RFC 9112, 6.1 and 6.3.
for first, second in [("Content-Length: {}", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: {}")]:
    for length in ["4", str(LENGTH), "0", "1"]:
        attack(f"{first} then {second}, {length}", head(first.format(length), second.format(length)) + CHUNKED_INNER, "refused")
attack("TE and CL with other headers between", head("Content-Length: 4", "x-a: b", "Transfer-Encoding: chunked") + CHUNKED_INNER, "refused")
attack("TE and CL in other cases", head("content-LENGTH: 4", "tRANSFER-eNCODING: CHUNKED") + CHUNKED_INNER, "refused")
attack("TE and a CL that is no number", head("Content-Length: x", "Transfer-Encoding: chunked") + CHUNKED_INNER, "refused")

# Transfer codings other than a plain `chunked`.
CODINGS = [
    "xchunked", "chunkedx", "chunk", "chunked, identity", "chunked, chunked", "chunked,", ",chunked,", "chunked;q=1", "chunked; x=y",
    '"chunked"', "'chunked'", "identity", "gzip", "deflate", "compress", "gzip, chunked, identity", "cow", "", " ", ";", "chunked\x0b",
    "\x0bchunked", "chunked\x0c", "\x00chunked", "chunked\x00", "chunked\x7f", "chu\tnked", "chunked chunked", "chunked\xa0", "ch\xfcnked",
    "chunked=1", "[chunked]", "chunked\r", "\rchunked", "chunked\r\n\tx", "x\r\n chunked", "\r\n chunked",
]
for value in CODINGS:
    framed("Transfer-Encoding", value, CHUNKED_INNER)
for value in ["gzip, chunked", "identity, chunked", "cow, chunked"]:
    # A transfer coding that the gateway would have to undo.
    framed("Transfer-Encoding", value, CHUNKED_INNER)
for lines in [
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), ("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding:", "Transfer-Encoding: chunked"), ("Transfer-Encoding : chunked",), ("Transfer-Encoding\t: chunked",),
    (" Transfer-Encoding: chunked",), ("\tTransfer-Encoding: chunked",), ("x: y\n Transfer-Encoding: chunked",),
    ("Transfer_Encoding: chunked",), ("Transfer-Encoding; chunked",), ("Transfer-Encoding chunked",), ("\x0bTransfer-Encoding: chunked",),
    ("Transfer-Encoding\x00: chunked",), ("x: y\nTransfer-Encoding: chunked",), ("x: y\rTransfer-Encoding: chunked",),
    ("\x00Transfer-Encoding: chunked",), ("Transfer-Encoding\x0b: chunked",), ("Transfer\xadEncoding: chunked",),
]:
    attack(f"lines {lines}", head(*lines, "Content-Length: 4") + CHUNKED_INNER, "refused")
attack("chunked in HTTP/1.0", head("Transfer-Encoding: chunked", line="POST /p HTTP/1.0") + CHUNKED_INNER, "refused")

# Lengths: RFC 9110, 8.6.
BODY = "x" * 5 + INNER
LENGTHS = [
    "+5", "-5", "5 5", "5,5", "5, 5", "5,6", "5;", "5.0", "0x5", "5e0", "five", "", "5\x0b", "\x0b5", "5\x00", "5_0", "5-", "--5", "5\t5",
    "18446744073709551616", "18446744073709551621", "9" * 40, "-1", "-0", "5\xb2", "5\r\n 0", "5\r\n\t", "\r\n 5", "5h", "0b101", "5'",
]
for value in LENGTHS:
    framed("Content-Length", value, BODY)
for lines in [
    ("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5", "Content-Length: 6"), ("Content-Length: 0", "Content-Length: 5"),
    ("Content-Length: 5", "content-length: 05"), ("Content-Length : 5",), ("Content-Length\t: 5",), (" Content-Length: 5",), ("Content_Length: 5",),
    ("Content-Length: 5", "Content_Length: 0"), ("x: y\nContent-Length: 5",), ("x: y\rContent-Length: 5",), ("Content-Length; 5",),
    ("Content-Length\x00: 5",),
]:
    attack(f"lines {lines}", head(*lines) + BODY, "refused")
attack("a length with spaces around it", head("Content-Length: \t 5 \t") + "xxxxx", "one")
attack("a length with zeros before it", head("Content-Length: 0005") + "xxxxx", "one")

# Bytes after the end of a body are another request, which has no key.
attack("CL.0: a length of 0 and a body", head("Content-Length: 0") + INNER, "one")
attack("no length and a body", head() + INNER, "one")
attack("a body longer than its length", head("Content-Length: 5") + BODY, "one")
for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH"]:
    attack(f"{method} with a request for a body", head(f"Content-Length: {len(INNER)}", line=f"{method} /p HTTP/1.1") + INNER, "one")
    attack(f"{method} without a length and with a body", head(line=f"{method} /p HTTP/1.1") + INNER, "one")
attack("a chunked body, and more", head("Transfer-Encoding: chunked") + "5\r\nxxxxx\r\n" + CHUNKED_INNER, "one")
attack("GET with a chunked body, and more", head("Transfer-Encoding: chunked", line="GET /p HTTP/1.1") + CHUNKED_INNER, "one")
attack("two requests, the second without a key", head() + INNER, "one")
attack("no key, and a body that has one", head(f"Content-Length: {len(head())}", key=None) + head(line="POST /p/smuggled HTTP/1.1"), "refused")
attack("a wrong key, and a body with requests", head(f"Content-Length: {3 * len(INNER)}", key="api-key: no") + 3 * INNER, "refused")
attack("no key, and chunks of requests", head("Transfer-Encoding: chunked", key=None) + CHUNKED_INNER, "refused")
attack("no route, and a body with requests", head(f"Content-Length: {len(INNER)}", line="POST /x HTTP/1.1") + INNER, "refused")

# Chunks: RFC 9112, 7.1. The head was sent to the provider by then. Pingora takes an empty size, or a folded trailer, as the
# end of the body; bytes after it are no request, as the connection closes.
for chunks in [
    "-1\r\nx\r\n", "0x5\r\nxxxxx\r\n", "+5\r\nxxxxx\r\n", " 5\r\nxxxxx\r\n", "5_0\r\nxxxxx\r\n", "5.\r\nxxxxx\r\n", "g\r\nx\r\n",
    "fffffffffffffffff\r\nx\r\n", "10000000000000005\r\nxxxxx\r\n", "ffffffffffffffff\r\nx\r\n", "5\r\nxxxxxx\r\n", "5\r\nxxxxxyyyy\r\n", "5\r\nxxxxx0\r\n\r\n",
    "5\r\nxxxx\r\n", "5\rxxxxx\r\n", "5\x00\r\nxxxxx\r\n", "5\x0b\r\nxxxxx\r\n", "5,5\r\nxxxxx\r\n", "5 5\r\nxxxxx\r\n", "\x005\r\nxxxxx\r\n",
    "5\r\nxxxxxXX5\r\nxxxxx\r\n", "\xb5\r\nxxxxx\r\n", "5h\r\nxxxxx\r\n", "5\nxxxxx\n", "5\r\nxxxxx\n", "5;a\nxxxxx\r\n",
]:
    attack(f"chunks {chunks[:24]!r}", head("Transfer-Encoding: chunked") + chunks + CHUNKED_INNER, "begun")
for last in ["0\n\n", "0\r\n\n", "0\n\r\n", "0\r\nx: y\n\n", "-0\r\n\r\n", "0x0\r\n\r\n"]:
    attack(f"last chunk {last!r}", head("Transfer-Encoding: chunked") + "5\r\nxxxxx\r\n" + last + INNER, "begun")
for chunks in ["\r\nxxxxx\r\n", ";\r\nx\r\n", "5\r\nxxxxx\r\n0\r\n x: y\r\n\r\n"]:
    attack(f"lenient chunks {chunks[:24]!r}", head("Transfer-Encoding: chunked") + chunks + CHUNKED_INNER, "one or begun")
for fine in ["5;ext\r\nxxxxx\r\n", "5;a=b;c=\"d\"\r\nxxxxx\r\n", "00005\r\nxxxxx\r\n", "5;" + "e" * 200 + "\r\nxxxxx\r\n"]:
    attack(f"good chunks {fine[:24]!r}", head("Transfer-Encoding: chunked") + fine + CHUNKED_INNER, "one")
for trailer in ["x: y", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil", f"api-key: {KEY}", "Authorization: Bearer theirs"]:
    attack(f"trailer {trailer}", head("Transfer-Encoding: chunked") + f"5\r\nxxxxx\r\n0\r\n{trailer}\r\n\r\n" + INNER, "one or begun")

# Lines: RFC 9112, 2.2 and 5.
attack("bare LF everywhere", head().replace("\r\n", "\n"), "refused")
attack("bare LF after the request line", head().replace("\r\n", "\n", 1), "refused")
attack("bare LF at the end", head()[:-2] + "\n", "refused")
attack("LF CR", head().replace("\r\n", "\n\r"), "refused")
attack("CR CR LF", head().replace("\r\n", "\r\r\n", 1), "refused")
attack("bare CR everywhere", head().replace("\r\n", "\r"), "refused")
HEADER_LINES = [
    "x", "x y: z", "x\ty: z", ": z", " : z", "x\x00: z", "x: \x00", "x: y\x00z", "x: y\rz", "x: y\nz", "x\x7f: z", "x\xe4: z", "x(y): z", "x[y]: z", "x{y}: z",
    "x@y: z", "x,y: z", "x/y: z", "x=y: z", 'x"y: z', "x;y: z", "x<y>: z", "x?: z", "x\\: z", "x: y\r\n z", "x: y\r\n\tz", "x : z", "x\r: z", "X_Api_Key: z", "x-api_key: z", "x.api.key: z",
    "OpenAI_Organization: z", "x_forwarded_for: z", "x-goog_user-project: z", "\x01: z", "x: \x01", "x: \x08y", "x: \x1b[31m", "x: \x7f",
]
for line in HEADER_LINES:
    attack(f"header line {line!r}", head(line) + INNER, "refused")
attack("the first line is folded", head(" x: y", host=None) + INNER, "refused")
attack("a header of 17 KiB", head("x: " + "y" * 17_000), "refused")
attack("a name of 17 KiB", head("x" * 17_000 + ": y"), "refused")
attack("101 headers", head(*(f"x{n}: y" for n in range(101))), "refused")
attack("300 equal headers", head(*["x: y"] * 300), "refused")

# The request line: RFC 9112, 3.
REQUEST_LINES = [
    "POST /p", "POST /p HTTP/0.9", "POST /p HTTP/1.2", "POST /p HTTP/1.10", "POST /p HTTP/2.0", "POST /p HTTP/3", "POST /p http/1.1", "POST /p HTTP/1.1 ",
    "POST /p HTTP/1.1 HTTP/1.1", "POST  /p HTTP/1.1", "POST /p  HTTP/1.1", "POST\t/p HTTP/1.1", "POST /p\tHTTP/1.1", " POST /p HTTP/1.1", "\tPOST /p HTTP/1.1",
    "/p HTTP/1.1", "POST HTTP/1.1", "POST  HTTP/1.1", "P(ST /p HTTP/1.1", "P\x00ST /p HTTP/1.1", "POST\r /p HTTP/1.1", "TRACE /p HTTP/1.1", "CONNECT h:1 HTTP/1.1",
    "CONNECT /p HTTP/1.1", "OPTIONS * HTTP/1.1", "POST p HTTP/1.1", "POST p/../p HTTP/1.1", "POST ?x HTTP/1.1", "POST #x HTTP/1.1", "POST /p#x HTTP/1.1",
    "POST /p /p HTTP/1.1", "POST /p\x00 HTTP/1.1", "POST /p\x7f HTTP/1.1", "POST /p\xe4 HTTP/1.1", "POST /p\\..\\x HTTP/1.1",
    "POST /p/a b HTTP/1.1", "POST /p/a\tb HTTP/1.1", "\r\nPOST /p/x#/../p HTTP/1.1", "\r\n\r\nPOST /p/a b HTTP/1.1",
    "POST /p/../p HTTP/1.1", "POST /p/./x HTTP/1.1", "POST /p/.. HTTP/1.1", "POST /p/%2e%2e/x HTTP/1.1", "POST /p/.%2e/x HTTP/1.1", "POST /p%2fx HTTP/1.1",
    "POST /p%5cx HTTP/1.1", "POST /p%00 HTTP/1.1", "POST /p%0d%0ax HTTP/1.1", "POST /p%zz HTTP/1.1", "POST /p% HTTP/1.1", "POST /p%252e%252e/x HTTP/1.1", "POST /p;x/y HTTP/1.1", "POST /p/a%2f../x HTTP/1.1", "POST /p/..%2fx HTTP/1.1", "POST /p/..%3bx/y HTTP/1.1", "POST /p%3bx HTTP/1.1", "POST /p%3fx HTTP/1.1", "POST /%2fp HTTP/1.1",
    "POST /p/;/../x HTTP/1.1", "POST h:80 HTTP/1.1", "POST http:///p HTTP/1.1", "POST http://evil/p HTTP/1.1", "POST http://h@evil/p HTTP/1.1", "POST ftp://h/p HTTP/1.1",
    "POST http:h/p HTTP/1.1", "HTTP/1.1 200 OK", "PRI * HTTP/2.0", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "POST /%70%2e%2e HTTP/1.1", "POST /p%c0%ae HTTP/1.1",
    "M" * 17_000 + " /p HTTP/1.1", "POST /p/" + "x" * 17_000 + " HTTP/1.1", "POST /p?" + "x" * 17_000 + " HTTP/1.1",
]
for line in REQUEST_LINES:
    attack(f"request line {line[:40]!r}", head("Content-Length: 0", line=line), "refused")
for line in ["POST http://h/p HTTP/1.1", "POST /p?a=b HTTP/1.1", "POST /p? HTTP/1.1", "POST //p HTTP/1.1", "POST /p//x HTTP/1.1", "MADEUP /p HTTP/1.1", "POST /p/a%2fb%3bc%3fd HTTP/1.1", "POST /%70 HTTP/1.1", "POST /p HTTP/1.0"]:
    attack(f"good request line {line!r}", head("Content-Length: 0", line=line), "one")

# Host: RFC 9112, 3.2.
HOSTS = [
    None, "Host: a\r\nHost: b", "Host: h\r\nHost: h", "Host: h\r\nhost: evil", "Host : h", " Host: h", "Host: h\r\n evil", "Host: h evil", "Host: h,evil", "Host: h/evil",
    "Host: h@evil", "Host: h\x00", "Host: h\\evil", "Host: h?x", "Host: h#x", "Host: h:80:80", "Host: h:x", "Host: \xe4",
]
for host in HOSTS:
    attack(f"host {host!r}", head("Content-Length: 0", host=host), "refused")
for host in ["Host: h:80", "Host: H", "Host:h", "Host: [::1]:80", "Host: h\r\nX-Forwarded-Host: evil", "Host: h\r\nForwarded: host=evil", "Host: h\r\nX-Host: evil"]:
    attack(f"good host {host!r}", head("Content-Length: 0", host=host), "one")

# Connection, Upgrade, Expect: RFC 9110, 7.6, 7.8 and 10.1.
PASSING = [
    "session_id: 1", "x_y: z", "Connection: session_id\r\nsession_id: 1", "Connection: authorization", "Connection: close, authorization", "Connection: api-key", "Connection: keep-alive, x-a\r\nx-a: b", "Keep-Alive: timeout=999", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: foo\r\nConnection: upgrade",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Expect: 100-continue", "X-HTTP-Method-Override: DELETE",
    "X-Original-URL: /p/smuggled-not", "X-Rewrite-URL: /admin", "Forwarded: for=127.0.0.1", "Max-Forwards: 0", "Via: 1.1 evil", "Accept-Encoding: gzip",
]
for line in PASSING:
    attack(f"passes: {line[:40]!r}", head(line, "Content-Length: 5") + "xxxxx", "one")
for line in [
    "Connection: content-length", "Connection: host", "Connection: transfer-encoding", "Connection: close, authorization, host",
    "Connection: " + ", ".join(f"x{n}" for n in range(300)),
]:
    attack(f"nominates framing: {line!r}", head(line, "Content-Length: 5") + BODY, "one or refused")
for line in ["Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]:
    attack("a WebSocket where none may be", head(line, line="GET /p HTTP/1.1") + INNER, "refused")
attack("Expect: 100-continue, and no body but a request", head("Expect: 100-continue", f"Content-Length: {len(INNER)}") + INNER, "one")
attack("Expect: 100-continue without a key, and a request", head("Expect: 100-continue", f"Content-Length: {len(INNER)}", key=None) + INNER, "refused")
for value in ["100-continue, x", "x", "", "100-Continue\x0b"]:
    attack(f"Expect: {value!r}", head(f"Expect: {value}", "Content-Length: 5") + "xxxxx", "one or refused")

# Keys: which one counts, and does the gateway keep it from the provider?
BAD_KEYS = [
    f"api-key: {KEY}\r\napi-key: other", f"api-key: {KEY}\r\nx-api-key: other", f"Authorization: Bearer {KEY}\r\nAuthorization: Bearer other",
    f"Authorization: Bearer other\r\napi-key: {KEY}", f"Authorization: Bearer {KEY}, Bearer other", f"api-key: {KEY}, other", f"api_key: {KEY}", f"api-key : {KEY}",
    f"Authorization: Basic {KEY}", f"api-key: {KEY}\x00", f"api-key: {KEY[:-1]}", f"api-key: {KEY}x", f"api-key: {KEY.upper()}", "api-key:", None,
    f"x-goog-api-key: {KEY}\r\napi-key: x", f"Cookie: api-key={KEY}", f"Proxy-Authorization: Bearer {KEY}", f"X-Forwarded-Authorization: {KEY}",
]
for key in BAD_KEYS:
    attack(f"key {key and key[:60]!r}", head("Content-Length: 0", key=key), "refused")
GOOD_KEYS = [
    f"api-key: {KEY}\r\napi-key: {KEY}", f"api-key: {KEY}\r\nx-api-key: {KEY}", f"Authorization: Bearer {KEY}", f"authorization: bearer {KEY}",
    f"api-key: {KEY}\r\nAuthorization: Bearer {KEY}\r\nx-goog-api-key: {KEY}", f"api-key: {KEY}\r\nCookie: s={KEY}", f"api-key: {KEY}\r\nProxy-Authorization: Basic {KEY}",
]
for key in GOOD_KEYS:
    attack(f"good key {key[:60]!r}", head("Content-Length: 0", key=key), "one")
attack("a key in the query and another beside it", head("Content-Length: 0", line=f"POST /p?key=other HTTP/1.1"), "refused")
attack("two keys in the query", head("Content-Length: 0", line=f"POST /p?key={KEY}&key=other HTTP/1.1", key=None), "refused")
attack("a key in the query", head("Content-Length: 0", line=f"POST /p?key={KEY}&a=b HTTP/1.1", key=None), "one")
