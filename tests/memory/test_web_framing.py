"""
Where one request ends and the next begins is never guessed: what can be read in two ways is refused.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import ServerConfig
from tests.guard import LoggedFailures
from tests.memory.test_web_errors import SECURITY
from tests.memory.wire import KEY, House, chat_body

HOST = b"Host: localhost\r\n"
GET = b"GET /health/live HTTP/1.1\r\n" + HOST
POST = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"

MALFORMED = {
    "an empty length": POST + b"Content-Length:\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a length with a blank": POST + b"Content-Length: 1 0\r\n\r\n0123456789",
    "a length in other digits": POST + b"Content-Length: \xd9\xa5\r\n\r\nabcde",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "two equal lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths": POST + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "a length after a blank": POST + b"Content-Length : 5\r\n\r\nabcde",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "IDENTITY and a length": POST + b"Transfer-Encoding: IDENTITY\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN),
    "a length and identity": POST + b"Content-Length: %d\r\ntransfer-encoding: Identity\r\n\r\n" % len(HIDDEN),
    "identity, then chunked": POST + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked, then identity": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and a length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a length and chunked": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked after a tab": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "chunked on a folded line": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunked with HTTP/1.0": POST.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    "a folded line": GET + b"X: a\r\n b\r\n\r\n",
    "a blank before the request line": b" GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "a folded first line": b"GET /health/live HTTP/1.1\r\n Host: a\r\n\r\n",
    "a tab at the beginning": GET + b"\tX: a\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "a host with a user": b"GET /health/live HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
    "a host with a path": b"GET /health/live HTTP/1.1\r\nHost: localhost/v1\r\n\r\n",
    "a host with a blank": b"GET /health/live HTTP/1.1\r\nHost: exa mple\r\n\r\n",
    "a host with a bad port": b"GET /health/live HTTP/1.1\r\nHost: localhost:http\r\n\r\n",
    "a host of bytes": b"GET /health/live HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "no host, and a URL": b"GET http://localhost/health/live HTTP/1.1\r\n\r\n",
    "a URL with a user": b"GET http://user@localhost/health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL without a host": b"GET http:///health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "an asterisk": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "an authority": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "LF": b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
    "CR": b"GET /health/live HTTP/1.1\rHost: localhost\r\r",
    "an LF in a header": GET + b"X: a\nContent-Length: 5\r\n\r\n",
    "a CR in a header": GET + b"X: a\rY: b\r\n\r\n",
    "a NUL in a header": GET + b"X: a\0\r\n\r\n",
    "a NUL in a header's name": GET + b"X\0: a\r\n\r\n",
    "a vertical tab": GET + b"X: a\x0bb\r\n\r\n",
    "a DEL in the target": b"GET /health/live\x7f HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank in a header's name": GET + b"X Y: a\r\n\r\n",
    "a header without a name": GET + b": a\r\n\r\n",
    "a header without a colon": GET + b"X\r\n\r\n",
    "two blanks": b"GET  /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank at the end": b"GET /health/live HTTP/1.1 \r\n" + HOST + b"\r\n",
    "a tab for a blank": b"GET\t/health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a blank": b"GET /health live HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "the beginning of a folded line": GET + b" X",
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /health/live HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/1.10": b"GET /health/live HTTP/1.10\r\n" + HOST + b"\r\n",
    "http/1.1": b"GET /health/live http/1.1\r\n" + HOST + b"\r\n",
    "a method that is none": b"G@T /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "two empty lines": b"\r\n\r\n" + GET + b"\r\n",
    "a chunk size that is none": POST + CHUNKED + b"\r\nxyz\r\n",
    "an empty chunk size": POST + CHUNKED + b"\r\n\r\n",
    "a chunk size with 0x": POST + CHUNKED + b"\r\n0x5\r\nabcde\r\n0\r\n\r\n",
    "a chunk size with a sign": POST + CHUNKED + b"\r\n+5\r\nabcde\r\n0\r\n\r\n",
    "a negative chunk size": POST + CHUNKED + b"\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "a chunk size with an underscore": POST + CHUNKED + b"\r\n1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "a chunk size after a blank": POST + CHUNKED + b"\r\n 5\r\nabcde\r\n0\r\n\r\n",
    "a chunk that is too long": POST + CHUNKED + b"\r\n5\r\nabcdef\r\n0\r\n\r\n",
    "a chunk with LF": POST + CHUNKED + b"\r\n5\nabcde\n0\n\n\r\n",
    "LF after a chunk": POST + CHUNKED + b"\r\n5\r\nabcde\n",
    "LF after the last chunk": POST + CHUNKED + b"\r\n0\n\n",
    "LF after a trailer": POST + CHUNKED + b"\r\n0\r\nX: a\n\n",
    "an LF in a chunk extension": POST + CHUNKED + b"\r\n5;a\nb\r\nabcde\r\n0\r\n\r\n",
    "a chunk extension that is too long": POST + CHUNKED + b"\r\n5;" + b"a" * 2000 + b"\r\nabcde\r\n0\r\n\r\n",
    "a trailer without a colon": POST + CHUNKED + b"\r\n0\r\nX\r\n\r\n",
    "a folded trailer": POST + CHUNKED + b"\r\n0\r\nX: a\r\n b\r\n\r\n",
    "a trailer with an LF": POST + CHUNKED + b"\r\n0\r\nX: a\nb\r\n\r\n",
    "too many trailers": POST + CHUNKED + b"\r\n0\r\n" + b"X: a\r\n" * 20000 + b"\r\n",
}

TOO_LARGE = {
    "a length of 20 digits": (413, POST + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n"),
    "a length of 4,301 digits": (413, POST + b"Content-Length: " + b"9" * 4301 + b"\r\n\r\n"),
    "a length of 16,000 digits": (413, POST + b"Content-Length: " + b"9" * 16000 + b"\r\n\r\n"),
    "a chunk of an exabyte": (413, POST + CHUNKED + b"\r\nde0b6b3a7640000\r\nabc"),
    "a chunk size of 1,000 digits": (413, POST + CHUNKED + b"\r\n" + b"f" * 1000 + b"\r\nabc"),
    "a target of 20,000 bytes": (414, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the beginning of one": (414, b"GET /" + b"a" * 20000),
    "a header of 20,000 bytes": (431, GET + b"X: " + b"a" * 20000 + b"\r\n\r\n"),
    "the beginning of a header": (431, GET + b"X: " + b"a" * 20000),
    "a head of 20,000 bytes": (431, GET + b"X: %b\r\n" % (b"a" * 5000) * 4 + b"\r\n"),
    "600 headers": (431, GET + b"X: a\r\n" * 600 + b"\r\n"),
}

CODES = {
    400: "malformed_request",
    413: "request_too_large",
    414: "uri_too_long",
    431: "request_header_fields_too_large",
}

REFUSED = {**{name: (400, data) for name, data in MALFORMED.items()}, **TOO_LARGE}

cases = pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)


@cases
@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
def test_what_is_refused(house: House, status: int, data: bytes, in_pieces: bool) -> None:
    """It is answered in the form of all errors and logged; then the connection ends, and nothing behind it is read."""
    wire = house.connect()
    size = max(1, len(data) // 300) if in_pieces else len(data) + len(HIDDEN)
    sent = data + HIDDEN
    for start in range(0, len(sent), size):
        wire.send_raw(sent[start : start + size])
    answer = wire.answer()

    assert (status, CODES[status]) == (answer.status, answer.error["code"])
    assert SECURITY.items() <= answer.headers.items() and answer.headers["x-request-id"]
    assert ("close", True, b"") == (answer.headers["connection"], wire.closing, wire.sent)
    wire.close()
    assert [status] == [event["access"]["status"] for event in house.events]
    assert [] == house.backend.turns
    assert 0 == house.drain.in_flight


@cases
def test_what_is_refused_behind_a_chat(house: House, status: int, data: bytes) -> None:
    """The chat before it keeps its answer, its line in the log, and nothing; a stop need not wait for it."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    wire.send_raw(data[:60])
    wire.send_raw(data[60:])
    assert 1 == sum(house.admission.running.values())
    house.backend.turn.start()
    house.backend.turn.end()

    assert 200 == wire.answer().status
    assert [200] == [event["access"]["status"] for event in house.events]
    assert (0, 0) == (house.drain.in_flight, sum(house.admission.running.values()))
    refusal = wire.answer()
    assert (status, CODES[status], b"") == (refusal.status, refusal.error["code"], wire.sent)
    assert wire.closing
    wire.close()
    assert [200, status] == [event["access"]["status"] for event in house.events]


def test_an_exception_in_the_next_request(
    house: House, logged_failures: LoggedFailures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what nobody has thought of does the request before it no harm."""

    def fail(*_: object) -> bool:
        raise RuntimeError("a secret")

    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    wire.send_raw(HIDDEN)
    monkeypatch.setattr(type(wire.channel), "headerReceived", fail)
    house.backend.turn.start()
    house.backend.turn.end()

    assert [200, 500] == [wire.answer().status, (refusal := wire.answer()).status]
    assert b"secret" not in refusal.body
    assert (0, 200) == (house.drain.in_flight, house.events[0]["access"]["status"])
    assert 1 == len(logged_failures.flush(RuntimeError))
    wire.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 0000000000000000000000000000004\r\n\r\nabcd",
        b"content-length:\t4 \r\n\r\nabcd",
        b"transfer-encoding: Chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        b'Transfer-Encoding:\tchunked \r\n\r\n0004;a=b;c=""\r\nabcd\r\n000\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n',
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
    ],
)
def test_what_is_taken(house: House, head: bytes) -> None:
    """Every proper way to say where a body ends is taken, and the next request begins there."""
    wire = house.connect()
    wire.send_raw(b"\r\n" + POST.replace(b"/chat/completions", b"/files") + head + b"\r\n" + HIDDEN)

    assert b"abcd" == house.relay.exchange.body
    house.relay.exchange.head(200, ())
    house.relay.exchange.end()
    assert [200, 401] == [wire.answer().status, wire.answer().status]


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: close\r\n",
        b"Connection: close, TE\r\n",
        b"Connection: TE,close\r\n",
        b"connection: close, keep-alive\r\n",
        b"Connection: keep-alive\r\nConnection: Close\r\n",
        b"Connection: CLOSE\r\nConnection: keep-alive\r\n",
    ],
)
def test_close_is_honoured(house: House, lines: bytes) -> None:
    """The connection ends after the answer, which says so."""
    wire = house.connect()
    wire.send_raw(GET + lines + b"\r\n" + HIDDEN)

    answer = wire.answer()
    assert (200, "close", True, b"") == (answer.status, answer.headers["connection"], wire.closing, wire.sent)
    wire.close()


@pytest.mark.parametrize("lines", [b"", b"Connection: keep-alive\r\n", b"Connection: TE, closed\r\n"])
def test_a_connection_stays(house: House, lines: bytes) -> None:
    """With HTTP/1.1 the connection serves the next request; with HTTP/1.0, whose keep-alive is no standard, it ends."""
    wire, old = house.connect(), house.connect()
    wire.send_raw(GET + lines + b"\r\n" + HIDDEN)
    old.send_raw(GET.replace(b"HTTP/1.1", b"HTTP/1.0") + lines + b"\r\n" + HIDDEN)

    assert [200, 401] == [wire.answer().status, wire.answer().status]
    assert (200, True, b"") == (old.answer().status, old.closing, old.sent)


def test_http_1_0_needs_no_host(house: House) -> None:
    """Host is HTTP/1.1's."""
    wire = house.connect()
    wire.send_raw(b"GET /health/live HTTP/1.0\r\n\r\n")

    assert 200 == wire.answer().status


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://localhost/v1/models", 200), ("http://[::1]:1/v1/models", 200), ("http://evil.example/v1/models", 403)],
)
def test_the_open_door_goes_by_the_targets_host(target: str, status: int) -> None:
    """Where the target is a URL, its host is the one that must be a name of this machine, whatever Host says."""
    house = House(keys=(), server=ServerConfig())
    for host in ("localhost", "evil.example"):
        assert status == house.ask("GET", target, headers={"Host": host}, key=None).status, host


def test_a_refused_head_request(house: House) -> None:
    """The answer to HEAD has no body, also when it is refused."""
    wire = house.connect()
    wire.send_raw(b"HEAD /health/live HTTP/1.1\r\n\r\n")

    answer = wire.answer(head_only=True)
    assert (400, b"") == (answer.status, wire.sent)


def test_a_refused_request_line_is_logged(house: House) -> None:
    """The log has the method of a request whose target is too long."""
    wire = house.connect()
    wire.send_raw(b"POST /v1/" + b"a" * 20000)
    wire.answer()
    wire.close()

    told = [house.access[name] for name in ("method", "path", "status", "error")]
    assert ["POST", "[too long]", 414, "uri_too_long"] == told
