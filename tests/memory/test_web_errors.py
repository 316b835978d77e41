"""
Every way in which a request can be wrong has an answer in one form.
"""

from __future__ import annotations

import json

import pytest

from claudeproxy.config import UpstreamConfig
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendUnavailable,
    CapacityExceeded,
    ClaudeProxyError,
    UpstreamTimeout,
    UsageLimitReached,
)
from tests.guard import LoggedFailures
from tests.memory.wire import House, Wire, chat_body

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"nonsense\r\n\r\n", "a request line that is none"),
        (b"GET /health HTTP/9.9\r\n\r\n", "an unknown version"),
        (b"G<T /health HTTP/1.1\r\n\r\n", "a method that is no token"),
        (b"GET /he\xfflth HTTP/1.1\r\nHost: x\r\n\r\n", "bytes in the path"),
        (b"GET /health%ff HTTP/1.1\r\nHost: x\r\n\r\n", "a path that is not UTF-8"),
        (b"GET health HTTP/1.1\r\nHost: x\r\n\r\n", "a target that is no path"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", "a header without a colon"),
        (b"GET /health HTTP/1.1\r\nno colon\r\nHost: x\r\n\r\n", "a header without a colon before another"),
        (b"GET /health HTTP/1.1\r\nBad Name: x\r\n\r\n", "a header name with a space"),
        (b"GET /health HTTP/1.1\r\nX: a\0b\r\n\r\n", "a NUL in a header"),
        (b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "a negative length"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
        (b"GET /health HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "an unknown transfer encoding"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk size that is none"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdef\r\n", "a chunk longer than it says"),
    ],
)
def test_malformed_http(house: House, data: bytes, what: str) -> None:
    """What is no HTTP is answered with 400 in the form of all errors, and no page in HTML."""
    wire = house.connect()
    wire.send_raw(data)

    answer = wire.answer()
    assert (400, "malformed_request") == (answer.status, answer.error["code"]), what
    assert SECURITY.items() <= answer.headers.items()
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\nHost: x\r\n\r\n"])
def test_nothing_follows_a_refusal(house: House, data: bytes) -> None:
    """After bytes that are no HTTP the connection ends, and what else comes on it is not looked at."""
    wire = house.connect()
    wire.send_raw(data + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    wire.send("GET", "/health")

    answer = wire.answer()
    assert ("close", True) == (answer.headers["connection"], wire.closing)
    assert b"" == wire.sent
    house.clock.advance(9)
    wire.send_raw(b"more nonsense\r\n")
    assert not wire.transport.aborted
    house.clock.advance(2)
    assert (b"", True) == (wire.sent, wire.transport.aborted)


def test_a_declared_body_that_is_too_large(house: House) -> None:
    """A body over the cap is refused by its declared length, before it is sent and without 100 Continue."""
    wire = house.connect()
    headers = {"Content-Length": "1001", "Expect": "100-continue", "X-Request-ID": "mine"}
    wire.send("POST", "/v1/chat/completions", b"", headers=headers)

    answer = wire.answer()
    assert (413, "request_too_large", "invalid_request_error") == (
        answer.status,
        answer.error["code"],
        answer.error["type"],
    )
    assert SECURITY.items() <= answer.headers.items()
    assert ("mine", "close", True) == (answer.headers["x-request-id"], answer.headers["connection"], wire.closing)
    wire.send_raw(b"x" * 1001)
    assert b"" == wire.sent
    wire.close()
    assert (413, "/v1/chat/completions") == (house.access["status"], house.access["path"])


def test_a_chunked_body_that_is_too_large(house: House) -> None:
    """A body over the cap is refused as soon as its bytes are too many, and never reaches a handler."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", headers={"Transfer-Encoding": "chunked"})
    wire.send_raw(b"3e8\r\n%b\r\n" % (b"x" * 1000))
    assert b"" == wire.sent
    wire.send_raw(b"2\r\nxx\r\n2\r\nxx\r\n0\r\n\r\n")

    answer = wire.answer()
    assert (413, "request_too_large", True) == (answer.status, answer.error["code"], wire.closing)
    assert b"" == wire.sent
    wire.close()


def test_a_body_at_the_cap(house: House) -> None:
    """A body of exactly the cap is taken, declared or chunked."""
    body = chat_body().ljust(1000)
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", body)
    wire.send("POST", "/v1/chat/completions", headers={"Transfer-Encoding": "chunked"})
    wire.send_raw(b"3e8\r\n%b\r\n0\r\n\r\n" % body)
    house.backend.turn.start()
    house.backend.turn.end()
    assert 200 == wire.answer().status
    house.backend.turn.start()
    house.backend.turn.end()

    assert 200 == wire.answer().status
    assert 2 == len(house.backend.turns)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST, OPTIONS"),
        ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
        ("POST", "/v1/models/sonnet", "GET, HEAD, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("BREW", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_supported(method: str, path: str, allow: str) -> None:
    """A path of ours answers 405 to other methods, with those that it has in Allow, where no upstream may have them."""
    house = House(upstream=UpstreamConfig())
    answer = house.ask(method, path)

    assert (405, "method_not_supported") == (answer.status, answer.error["code"])
    assert allow == answer.headers["allow"]
    assert [] == house.relay.exchanges


@pytest.mark.parametrize(
    "path", ["/nope", "/favicon.ico", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/a/./b", "/v2/models"]
)
def test_an_unknown_url(house: House, path: str) -> None:
    """A path that nobody has is 404 in the form of all errors."""
    answer = house.ask("GET", path)

    assert (404, "unknown_url") == (answer.status, answer.error["code"])
    assert [] == house.relay.exchanges


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x"])
def test_a_body_that_is_declared_to_be_something_else(house: House, content_type: str) -> None:
    """A chat request that says it is not JSON is 415."""
    answer = house.ask("POST", "/v1/chat/completions", chat_body(), headers={"Content-Type": content_type})

    assert (415, "unsupported_media_type") == (answer.status, answer.error["code"])


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/a+json", ""]
)
def test_a_body_that_may_be_json(house: House, content_type: str) -> None:
    """Any way to say JSON passes, and so does saying nothing."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(), headers={"Content-Type": content_type})

    assert 1 == len(house.backend.turns)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b"[]", "invalid_value"),
        (b'{"messages":[]}', "missing_required_parameter"),
        (b'{"model":"sonnet"}', "missing_required_parameter"),
        (b'{"model":1,"messages":[]}', "invalid_value"),
        (b'{"model":"sonnet","messages":1}', "invalid_value"),
    ],
)
def test_a_body_that_is_wrong(house: House, body: bytes, code: str) -> None:
    """What the decoder refuses is 400 with the decoder's code."""
    answer = house.ask("POST", "/v1/chat/completions", body)

    assert (400, code) == (answer.status, answer.error["code"])


def test_a_model_that_nobody_knows() -> None:
    """Without an upstream an unknown model is 404, and the answer says which backend was asked."""
    house = House(upstream=House().upstream.__class__(enabled=False))
    answer = house.ask("POST", "/v1/chat/completions", chat_body("sonett"))

    assert (404, "model_not_found") == (answer.status, answer.error["code"])
    assert "claude-code" == answer.headers["x-backend-mode"]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (CapacityExceeded("full", retry_after=1.2), 429, "2"),
        (CapacityExceeded("full"), 429, "5"),
        (UsageLimitReached("used up", retry_after=3600), 429, "3600"),
        (BackendUnavailable("no CLI"), 503, "5"),
        (BackendUnavailable("no CLI", retry_after=0), 503, "1"),
        (BackendAuthFailed("refused"), 502, None),
        (UpstreamTimeout("too long"), 504, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_byte(
    house: House, error: ClaudeProxyError, status: int, retry_after: str | None, stream: bool
) -> None:
    """A failure before the first byte has its own status, also in a stream; 429 and 503 say when to come back."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=stream))
    house.backend.turn.fail(error)

    answer = wire.answer()
    assert (status, error.code, error.type) == (answer.status, answer.error["code"], answer.error["type"])
    assert retry_after == answer.headers.get("retry-after")
    assert ("claude-code", "no-store") == (answer.headers["x-backend-mode"], answer.headers["cache-control"])
    assert (status, error.code) == (house.access["status"], house.access["error"])


def test_a_failure_after_the_head_but_before_the_first_event(house: House) -> None:
    """What was only prepared is not sent: the error is no stream, and a session that never was is not named."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    house.backend.turn.start()
    house.backend.turn.fail(BackendAuthFailed("refused"))

    answer = wire.answer()
    assert (502, "backend_auth_failed") == (answer.status, answer.error["code"])
    assert "x-accel-buffering" not in answer.headers
    assert "x-claude-session-id" not in answer.headers
    assert "x-claude-session-created" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
def test_an_unexpected_exception(house: House, logged_failures: LoggedFailures, stream: bool) -> None:
    """An exception that nobody expected is 500 with a fixed text; what it was is in the log only."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=stream))
    house.backend.turn.fail(RuntimeError("a secret"))

    answer = wire.answer()
    assert (500, "internal_error", "server_error") == (answer.status, answer.error["code"], answer.error["type"])
    assert b"secret" not in answer.body
    assert 1 == len(logged_failures.flush(RuntimeError))


def test_an_exception_below_the_routes(
    house: House, logged_failures: LoggedFailures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an exception that Klein itself raises is 500 in the form of all errors."""

    def render(request: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(house.site.resource, "render", render)
    answer = house.ask("GET", "/health")

    assert (500, "internal_error") == (answer.status, answer.error["code"])
    assert b"secret" not in answer.body
    assert 1 == len(logged_failures.flush(RuntimeError))


@pytest.mark.parametrize("host", ["", "..", "a..b", "x" * 300, "a_b", "%C3%A4", "[::1]:"])
def test_a_strange_host(house: House, host: str) -> None:
    """What a client writes into Host does no harm: no route depends on it."""
    wire = house.connect()
    wire.send_raw(b"GET /health/live HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())

    assert (200, {"status": "alive"}) == ((answer := wire.answer()).status, answer.json)


def test_an_error_in_a_stream(house: House) -> None:
    """After the first byte the stream ends with the error and [DONE], and then its body ends properly."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    turn = house.backend.turn
    turn.start()
    turn.say("Hel")
    turn.fail(CapacityExceeded("gone"))

    answer = wire.answer()
    *_, event, done = answer.body.split(b"\n\n")[:-1]
    assert "capacity_exceeded" == json.loads(event.removeprefix(b"data: "))["error"]["code"]
    assert b"data: [DONE]" == done
    assert (200, True, False) == (answer.status, answer.complete, wire.closing)
    assert (200, "capacity_exceeded") == (house.access["status"], house.access["error"])


def test_a_client_that_does_not_read_the_error(house: House) -> None:
    """A slow client of a broken stream is cut off when it does not take the error event within ten seconds."""
    wire = slow_client(house)
    house.backend.turn.fail(CapacityExceeded("gone"))
    house.clock.advance(9.9)
    assert not wire.transport.aborted
    house.clock.advance(0.2)

    assert wire.transport.aborted
    assert not wire.answer().complete
    wire.close()


def test_a_client_that_reads_the_error_late(house: House) -> None:
    """When a slow client catches up in time, the body ends properly for it, too, and its connection stays."""
    wire = slow_client(house)
    house.backend.turn.fail(CapacityExceeded("gone"))
    house.clock.advance(9.9)
    wire.transport.producer.resumeProducing()

    answer = wire.answer()
    assert (True, False) == (answer.complete, wire.closing)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    house.clock.advance(1)
    assert not wire.transport.aborted


def test_a_client_that_leaves_before_it_reads_the_error(house: House) -> None:
    """A slow client that leaves ends the wait for it."""
    wire = slow_client(house)
    house.backend.turn.fail(CapacityExceeded("gone"))
    wire.leave()

    assert (0, "capacity_exceeded") == (house.drain.in_flight, house.access["error"])


def slow_client(house: House) -> Wire:
    """A client whose stream has begun, and that does not read it."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    house.backend.turn.start()
    house.backend.turn.say("Hel")
    wire.transport.producer.pauseProducing()
    return wire
