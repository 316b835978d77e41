"""
What a client gets from an upstream that fails: on the wire, through all of the daemon.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, Pause, RawAnswer, Step
from tests.live.whole import Whole
from tests.memory.wire import Answer, chat_body

Make = Callable[..., Whole]
CHAT = "/v1/chat/completions"
TRIES = 4
"""More than the relay ever makes."""
SHORT = {"connect_timeout": 0.3, "first_byte_timeout": 0.3, "silence_timeout": 0.3}

JSON = ((b"Content-Type", b"application/json"), (b"Content-Length", b"100"))
EVENTS = ((b"Content-Type", b"text/event-stream"),)
EVENT = b'data: {"choices":[]}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def raw(*steps: Step) -> RawAnswer:
    """Bytes without any framing."""
    return RawAnswer(None, (), steps)


@frozen
class Fault:
    """
    A way to fail, and what is promised.
    """

    name: str
    answer: RawAnswer
    status: int
    code: str
    begun: bytes | None = None
    """What the client has of an answer that had begun; None when it is an error with a status of its own."""


FAULTS = (
    Fault("resets", raw(End.ABORT), 502, "connection_error"),
    Fault("closes without an answer", raw(End.CLOSE), 502, "connection_error"),
    Fault("is no HTTP", raw(b"SSH-2.0-OpenSSH\r\n", End.STALL), 502, "connection_error"),
    Fault("stalls before the head", raw(End.STALL), 504, "timeout"),
    Fault("stalls in the head", raw(b"HTTP/1.1 200 OK\r\nContent-", End.STALL), 504, "timeout"),
    Fault("resets in the head", raw(b"HTTP/1.1 200 OK\r\nContent-", End.ABORT), 502, "connection_error"),
    Fault("stalls in a stream", RawAnswer(200, EVENTS, (EVENT, End.STALL), chunked=True), 200, "timeout", EVENT),
    Fault("stalls in a body", RawAnswer(200, JSON, (b'{"a"', End.STALL)), 200, "timeout", b'{"a"'),
    Fault(
        "resets in a stream", RawAnswer(200, EVENTS, (EVENT, End.ABORT), chunked=True), 200, "connection_error", EVENT
    ),
    Fault("resets in a body", RawAnswer(200, JSON, (b'{"a"', End.ABORT)), 200, "connection_error", b'{"a"'),
    Fault(
        "sends a broken chunk",
        raw(CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT), Pause(0.05), b"no size\r\n", End.STALL),
        200,
        "connection_error",
        EVENT,
    ),
)


def check(house: Whole, answer: Answer, status: int, code: str, begun: bytes | None = None) -> None:
    """
    The client has the promised answer, and the access log the error.
    """
    assert status == answer.status
    if begun is None:
        assert code == answer.error["code"]
    elif answer.headers["content-type"] == "text/event-stream":
        first, error, done, rest = answer.body.split(b"\n\n")
        assert (begun, b"data: [DONE]", b"", True) == (first + b"\n\n", done, rest, answer.complete)
        assert b'"code":"%b"' % code.encode() in error
    else:
        assert (begun, False) == (answer.body, answer.complete)
    assert code == house.house.access["error"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest_twisted.ensureDeferred
async def test_a_fault_of_the_upstream(whole: Make, stub_openai: StubOpenAI, fault: Fault) -> None:
    """The client gets the promised error or an answer that visibly breaks off, and nothing stays in use."""
    house = whole(**SHORT)
    stub_openai.script(CHAT, *[fault.answer] * TRIES)
    answer = await house.ask("POST", CHAT, chat_body("gpt-4o"))

    check(house, answer, fault.status, fault.code, fault.begun)
    await house.at_rest()


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_refuses(whole: Make) -> None:
    """Nobody listens: 502, and nothing of the upstream's address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    house = whole(upstream=f"http://127.0.0.1:{port}/v1")
    answer = await house.ask("POST", CHAT, chat_body("gpt-4o"))

    check(house, answer, 502, "connection_error")
    assert str(port) not in answer.error["message"]
    await house.at_rest()


@contextmanager
def full_backlog() -> Iterator[int]:
    """
    A port whose kernel takes no more connections: who connects waits.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            waiting.append(client)
        yield listening.getsockname()[1]
        for client in waiting:
            client.close()


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_does_not_take_the_connection(whole: Make) -> None:
    """A connection that does not come about in time is a 504 of the connect timer."""
    with full_backlog() as port:
        house = whole(upstream=f"http://127.0.0.1:{port}/v1", **SHORT)
        answer = await house.ask("POST", CHAT, chat_body("gpt-4o"))

    check(house, answer, 504, "timeout")
    assert "connect" in answer.error["message"]
    await house.at_rest()


class Deaf(Protocol):
    """
    Takes the connection, and then reads nothing.
    """

    def connectionMade(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]
        self.factory.taken.append(self.transport)  # type: ignore[union-attr]


@pytest_twisted.async_yield_fixture
async def deaf_port() -> AsyncIterator[int]:
    """
    A port at which everyone is taken and nobody is heard.
    """
    factory: Any = Factory.forProtocol(Deaf)
    factory.taken = []
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield listening.getHost().port
    await listening.stopListening()
    for transport in factory.taken:
        transport.abortConnection()


@pytest.mark.parametrize(
    ("scheme", "size", "words"),
    [("https", 0, "connect"), ("http", 0, "first byte"), ("http", 16_000_000, "first byte")],
    ids=["in TLS", "after the request", "in the body"],
)
@pytest_twisted.ensureDeferred
async def test_an_upstream_that_reads_nothing(whole: Make, deaf_port: int, scheme: str, size: int, words: str) -> None:
    """An upstream that stalls in the handshake, or does not take the request's body, is a 504 that says which timer."""
    house = whole(upstream=f"{scheme}://localhost:{deaf_port}/v1", **SHORT)
    answer = await house.ask("POST", "/v1/files", b"x" * size)

    check(house, answer, 504, "timeout")
    assert words in answer.error["message"]
    await house.at_rest()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON[:1], b'{"error": {"message": "out of credit", "type": "billing", "code": null}}'),
        (EVENTS, b'data: {"error": {"message": "overloaded"}}\r\n\r\ndata: [DONE]\r\n\r\n'),
        (EVENTS, b"event: error\ndata: not even JSON\n\n"),
    ],
    ids=["body", "event", "nonsense"],
)
@pytest_twisted.ensureDeferred
async def test_a_success_that_is_an_error(
    whole: Make, stub_openai: StubOpenAI, headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    """A status 200 with an error in its body is relayed as it is, once, and no tokens are counted for it."""
    house = whole(**SHORT)
    stub_openai.script(CHAT, RawAnswer(200, headers, (body,), chunked=True))
    answer = await house.ask("POST", CHAT, chat_body("gpt-4o", stream=headers is EVENTS))

    assert (200, body, True) == (answer.status, answer.body, answer.complete)
    assert 1 == len(stub_openai.requests)
    assert {"input_tokens", "error"}.isdisjoint(house.house.access)
    await house.at_rest()
