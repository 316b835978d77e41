"""
What goes to the upstream, and what comes back from it.
"""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import CancelledError

from claudeproxy.config import Secret, UpstreamConfig
from claudeproxy.core.events import Usage
from claudeproxy.errors import BackendError, ClientKeyNotAllowed, PassthroughNotConfigured, UpstreamUnreachable
from tests.memory.doubles import EVENTS, JSON
from tests.memory.wire import House, Wire, chat_body

ODD = b'{ "model" :"gpt-4o",\n"messages": [{"role":"user","content":"\\u0041"}], "unknown": 1e2 , "stream":true}'


def relay(house: House, body: bytes = ODD, **options: object) -> Wire:
    """Send a chat request for the upstream."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", body, **options)  # type: ignore[arg-type]
    return wire


def test_the_bytes_of_a_chat_request(house: House) -> None:
    """The body goes on byte for byte, with the client's headers, its path and its query."""
    wire = house.connect()
    wire.send("POST", "//v1/chat/completions/?x=1&y", ODD, headers={"OpenAI-Organization": "o", "Accept": "a"})

    request = house.relay.exchange.request
    assert (b"POST", b"/chat/completions?x=1&y", ODD) == (request.method, request.path, request.body)
    assert {(b"Openai-Organization", b"o"), (b"Accept", b"a")} <= set(request.headers)
    assert (None, True, True) == (request.client_key, request.tee_usage, request.stream)
    wire.leave()


@pytest.mark.parametrize("text", [b"\\ud800", b"\\\\ud83d\\ude00", b"\\ude00\\ud83d"])
def test_half_a_character_is_the_upstreams_business(house: House, text: bytes) -> None:
    """What is no Unicode in a request that is relayed goes on byte for byte, and so it does under a key."""
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "%b"}], "%b": 1, "stream": true}' % (
        text,
        text,
    )
    wire = relay(house, body, headers={"Idempotency-Key": "k"})

    request = house.relay.exchange.request
    assert (request.body, request.stream) == (body, True)
    wire.leave()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("path", "relayed"),
    [
        ("/v1/embeddings", b"/embeddings"),
        ("/embeddings", b"/embeddings"),
        ("/v1/files/file-1/content?x=%20#", b"/files/file-1/content?x=%20#"),
        ("/v1/whatever/comes%2Fnext", b"/whatever/comes%2Fnext"),
        ("http://localhost/v1/batches", b"/batches"),
    ],
)
def test_every_other_path(house: House, method: str, path: str, relayed: bytes) -> None:
    """Every other path below /v1 goes to the upstream with any method; OpenAI's own also without /v1."""
    wire = house.connect()
    wire.send(method, path, b"\0\xff", headers={"Content-Type": "application/octet-stream"})

    exchange = house.relay.exchange
    assert (method.encode(), relayed, b"\0\xff") == (exchange.request.method, exchange.request.path, exchange.body)
    exchange.head(201, [(b"Content-Type", b"x/y"), (b"Content-Length", b"2"), (b"X-RateLimit-Foo", b"1")])
    exchange.send(b"\1\2")
    exchange.end()
    answer = wire.answer()
    assert (201, b"\1\2", "x/y") == (answer.status, answer.body, answer.headers["content-type"])
    assert ("1", "openai-passthrough") == (answer.headers["x-ratelimit-foo"], answer.headers["x-backend-mode"])
    wire.leave()


def test_a_large_body_stays_in_its_file() -> None:
    """An upload beyond what is kept in memory is handed on as a file, at its beginning."""
    house = House(server=House().server.__class__(max_body_bytes=3 * 1024 * 1024))
    body = b"0123456789abcdef" * 128 * 1024
    wire = house.connect()
    wire.send("POST", "/v1/files", body, headers={"Content-Type": "multipart/form-data; boundary=x"})

    assert not isinstance(house.relay.exchange.request.body, bytes)
    assert body == house.relay.exchange.body
    wire.leave()


def test_a_stream_of_events(house: House) -> None:
    """The head of a stream goes out with the upstream's, and its bytes as they come, whatever they are."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(200, [*EVENTS, (b"X-Custom", b"1")])
    assert wire.sent.endswith(b"\r\n\r\n")
    pieces = (b"data:  {odd: 1}\r", b"\n\r\n", b": c\n\nid: 7\nunknown\n", b"data: [DONE]\n\n")
    exchange.send(*pieces)
    exchange.end(Usage(input_tokens=1, output_tokens=2))

    answer = wire.answer()
    assert (b"".join(pieces), True) == (answer.body, answer.complete)
    assert ("text/event-stream", "no-cache", "no", "1") == tuple(
        answer.headers[name] for name in ("content-type", "cache-control", "x-accel-buffering", "x-custom")
    )
    assert len(set(answer.headers)) == len(answer.names)
    assert (1, 2, "gpt-4o") == tuple(house.access[name] for name in ("input_tokens", "output_tokens", "model"))


def test_an_answer_in_one_piece(house: House) -> None:
    """Nothing is sent before there is a body, which keeps its length; an error of the upstream's stays its own."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(429, [*JSON, (b"Content-Length", b"2"), (b"Retry-After", b"9")])
    assert b"" == wire.sent
    exchange.send(b"{}")
    exchange.end()

    answer = wire.answer()
    assert (429, b"{}", "9", "no-store") == (
        answer.status,
        answer.body,
        answer.headers["retry-after"],
        answer.headers["cache-control"],
    )
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_without_a_body(house: House, status: int) -> None:
    """An answer without a body has the upstream's status and headers all the same."""
    wire = house.connect()
    wire.send("DELETE", "/v1/files/1")
    house.relay.exchange.head(status, [(b"X-Custom", b"1")])
    house.relay.exchange.end()

    answer = wire.answer()
    assert (status, b"", "1", True) == (answer.status, answer.body, answer.headers["x-custom"], answer.complete)


def test_head_is_relayed(house: House) -> None:
    """HEAD goes to the upstream as HEAD, and its answer keeps the length of what it does not have."""
    wire = house.connect()
    wire.send("HEAD", "/v1/files/1")
    house.relay.exchange.head(200, [(b"Content-Length", b"1234")])
    house.relay.exchange.end()

    assert b"HEAD" == house.relay.exchange.request.method
    assert "1234" == wire.answer(head_only=True).headers["content-length"]


def test_the_upstream_fails_before_its_first_byte(house: House) -> None:
    """A failure after the upstream's head but before a byte of its body leaves nothing of that head."""
    wire = relay(house)
    house.relay.exchange.head(200, [*JSON, (b"Content-Length", b"9"), (b"Content-Encoding", b"gzip")])
    house.relay.exchange.fail(UpstreamUnreachable("broke off"))

    answer = wire.answer()
    assert (502, "connection_error") == (answer.status, answer.error["code"])
    assert "content-encoding" not in answer.headers
    assert "openai-passthrough" == answer.headers["x-backend-mode"]


@pytest.mark.parametrize("sent", [(b"data: 1\n\n",), (b"data: 1\n", b"\n"), (b": hi\r\n\r", b"\n"), ()])
def test_the_upstream_dies_between_two_events(house: House, sent: tuple[bytes, ...]) -> None:
    """A stream that breaks off ends with an error event of its own, and then its body ends properly."""
    wire = relay(house)
    house.relay.exchange.head(200, EVENTS)
    house.relay.exchange.send(*sent)
    house.relay.exchange.fail(UpstreamUnreachable("broke off"))

    answer = wire.answer()
    rest = answer.body.removeprefix(b"".join(sent))
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"\n\ndata: [DONE]\n\n")
    error = json.loads(rest.split(b"\n\n")[0].removeprefix(b"data: "))["error"]
    assert "connection_error" == error["code"]
    assert (True, False) == (answer.complete, wire.closing)
    assert (200, {"status": "alive"}) == ((again := house.ask("GET", "/health/live")).status, again.json)
    wire.leave()


@pytest.mark.parametrize("sent", [b"data: 1\n\nda", b"data: 1\n", b"data: 1\r\n", b": comment", b"data: \xc3"])
def test_the_upstream_dies_within_an_event(house: House, sent: bytes) -> None:
    """An error event would become a part of what was begun, so the connection is cut without the end of the body."""
    wire = relay(house)
    house.relay.exchange.head(200, EVENTS)
    house.relay.exchange.send(sent)
    house.relay.exchange.fail(UpstreamUnreachable("broke off"))

    answer = wire.answer()
    assert (sent, False, True) == (answer.body, answer.complete, wire.closing)
    wire.close()


def test_the_upstream_dies_in_a_stream_of_known_length(house: House) -> None:
    """Nothing can be added to a body whose length was told."""
    wire = relay(house)
    house.relay.exchange.head(200, [*EVENTS, (b"Content-Length", b"100")])
    house.relay.exchange.send(b"data: 1\n\n")
    house.relay.exchange.fail(UpstreamUnreachable("broke off"))

    answer = wire.answer()
    assert (b"data: 1\n\n", False, True) == (answer.body, answer.complete, wire.closing)
    wire.close()


@pytest.mark.parametrize(
    "headers", [JSON, ((b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip"))], ids=["json", "gzip"]
)
def test_the_upstream_dies_in_another_body(house: House, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Into any other body nothing is put: it just is not completed."""
    wire = relay(house)
    house.relay.exchange.head(200, headers)
    house.relay.exchange.send(b'{"a')
    house.relay.exchange.fail(UpstreamUnreachable("broke off"))

    answer = wire.answer()
    assert (b'{"a', False, True) == (answer.body, answer.complete, wire.closing)
    wire.close()


def test_silence_between_events(house: House) -> None:
    """A silent stream gets comments, but only where an event has ended."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(200, EVENTS)
    house.clock.advance(15)
    exchange.send(b"data: 1")
    house.clock.advance(40)
    exchange.send(b"\n", b"\n")
    house.clock.advance(15)
    exchange.end()

    assert b": keep-alive\n\ndata: 1\n\n: keep-alive\n\n" == wire.answer().body


def test_silence_of_another_body(house: House) -> None:
    """Nothing is put into what is no stream of events."""
    wire = relay(house)
    house.relay.exchange.head(200, JSON)
    house.relay.exchange.send(b"{")
    house.clock.advance(60)
    house.relay.exchange.send(b"}")
    house.relay.exchange.end()

    assert b"{}" == wire.answer().body


@pytest.mark.parametrize("started", [False, True])
def test_a_client_that_leaves(house: House, started: bool) -> None:
    """The exchange of a client that leaves is cancelled at once."""
    wire = relay(house)
    exchange = house.relay.exchange
    if started:
        exchange.head(200, EVENTS)
        exchange.send(b"data: 1\n\n")
    wire.leave()

    assert exchange.cancelled
    assert (["stop"] if started else []) == exchange.producer.told
    exchange.send(b"data: 2\n\n")


@pytest.mark.parametrize("headers", [EVENTS, JSON], ids=["begun", "not begun"])
def test_a_relay_that_ends_as_soon_as_it_is_told(house: House, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """A relay may fail at the connection's first sign of a departure: no answer is sent, and one line is logged."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(200, headers)
    exchange.producer.on_stop = lambda: exchange.done.errback(CancelledError())
    before = wire.sent
    wire.leave()

    assert before == wire.sent
    assert [(200 if headers == EVENTS else 499, True)] == [
        (event["access"]["status"], event["access"]["client_left"]) for event in house.events
    ]


def test_a_slow_client(house: House) -> None:
    """A pause reaches the upstream's side once, and so does the end of it."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(200, EVENTS)
    for _ in range(3):
        wire.channel.pauseProducing()
    wire.channel.resumeProducing()

    assert ["pause", "resume"] == exchange.producer.told
    wire.leave()


def test_a_key_of_the_clients(house: House) -> None:
    """``X-OpenAI-API-Key`` is handed to the relay, whose refusal is the answer."""
    wire = relay(house, headers={"X-OpenAI-API-Key": "sk-theirs"})
    assert "sk-theirs" == house.relay.exchange.request.client_key
    house.relay.exchange.fail(ClientKeyNotAllowed("no"))

    answer = wire.answer()
    assert (403, "permission_error") == (answer.status, answer.error["type"])


def test_without_an_upstream() -> None:
    """Where there is none, OpenAI's paths say so, other paths are unknown, and a client's key makes the difference."""
    house = House(upstream=UpstreamConfig())
    wire = house.connect()
    wire.send("POST", "/v1/embeddings", b"{}")
    house.relay.exchange.fail(PassthroughNotConfigured("none"))
    answer = wire.answer()
    assert (503, "passthrough_not_configured", "5") == (
        answer.status,
        answer.error["code"],
        answer.headers["retry-after"],
    )
    assert 404 == house.ask("POST", "/v1/whatever", b"{}").status
    wire.send("POST", "/v1/chat/completions", chat_body("gpt-4o"))
    assert "sonnet" == house.backend.turn.request.backend_model
    wire.leave()

    relay(house, chat_body("gpt-4o"), headers={"X-OpenAI-API-Key": "sk-theirs"}).leave()
    wire = house.connect()
    wire.send("POST", "/v1/whatever", b"{}", headers={"X-OpenAI-API-Key": "sk-theirs"})
    wire.leave()
    assert [b"/embeddings", b"/chat/completions", b"/whatever"] == [
        exchange.request.path for exchange in house.relay.exchanges
    ]


def test_a_relayed_header_cannot_be_doubled() -> None:
    """What every answer has, a relayed one has once."""
    house = House(upstream=UpstreamConfig(api_key=Secret("k")))
    wire = relay(house)
    house.relay.exchange.head(200, [*JSON, (b"Cache-Control", b"no-cache"), (b"Content-Length", b"2")])
    house.relay.exchange.send(b"{}")
    house.relay.exchange.end()

    names = [name.lower() for name in wire.answer().names]
    assert len(set(names)) == len(names)
    wire.leave()


def test_the_spelling_of_headers(house: House) -> None:
    """The upstream's headers arrive in its own spelling and order, repeated ones too."""
    wire = relay(house)
    names = [b"x-ratelimit-limit-requests", b"X-Custom", b"x-custom", b"OpenAI-Processing-MS"]
    house.relay.exchange.head(200, [*((name, b"1") for name in names), (b"content-length", b"2")])
    house.relay.exchange.send(b"{}")
    house.relay.exchange.end()

    answer = wire.answer()
    assert names == [name.encode() for name in answer.names if name.encode() in names]
    assert ("2", "1, 1") == (answer.headers["content-length"], answer.headers["x-custom"])


@pytest.mark.parametrize("value", [b"a\r\nSet-Cookie: b=c", b"a\nb", b"a\rb"])
def test_a_header_with_a_line_break(house: House, value: bytes) -> None:
    """A header that would become two is never sent on."""
    wire = relay(house)
    exchange = house.relay.exchange
    exchange.head(200, [(b"X-Custom", value)])
    with pytest.raises(BackendError) as caught:
        exchange.send(b"{}")
    exchange.fail(caught.value)

    answer = wire.answer()
    assert (502, "backend_error") == (answer.status, answer.error["code"])
    assert not {"x-custom", "set-cookie"} & set(answer.headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions?limit=2"),
        ("DELETE", "/v1/models/ft:x"),
        ("PUT", "/v1/models/ft:x"),
        ("POST", "/v1/models"),
    ],
)
def test_methods_that_an_upstream_may_have(house: House, method: str, path: str) -> None:
    """On paths of ours they are relayed: stored completions are listed, fine-tuned models are deleted."""
    wire = house.connect()
    wire.send(method, path)
    exchange = house.relay.exchange
    exchange.head(200, JSON)
    exchange.send(b"{}")
    exchange.end()

    answer = wire.answer()
    assert (200, b"{}") == (answer.status, answer.body)
    assert (method.encode(), path.removeprefix("/v1").encode()) == (exchange.request.method, exchange.request.path)
    assert b"DELETE" in house.ask("OPTIONS", path.partition("?")[0]).headers["allow"].encode()
    wire.leave()
