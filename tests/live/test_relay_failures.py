"""
Upstreams of the relay that die, or take too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from claudeproxy.errors import UpstreamTimeout, UpstreamUnreachable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer, Step
from tests.live.relaying import EVENTS, Make, MemorySink, chat, stream

# -- Deaths -------------------------------------------------------------------


@pytest.mark.parametrize("end", [End.CLOSE, End.ABORT])
@pytest.mark.parametrize(
    "answer",
    [
        lambda end: stream(b"data: 1\n\n", end),
        lambda end: RawAnswer(200, ((b"Content-Length", b"100"),), (b"data: 1\n\n", end)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_upstream_that_dies_midstream(
    stub_openai: StubOpenAI, relay_to: Make, answer: Callable[[End], RawAnswer], end: End
) -> None:
    """An answer that breaks off is an error, and what came before it has been passed on."""
    stub_openai.script("/v1/chat/completions", answer(end))
    sink = MemorySink()

    with pytest.raises(UpstreamUnreachable, match="middle of its answer"):
        await relay_to().send(chat(stream=True), sink)

    assert (sink.status, sink.body, sink.ended) == (200, b"data: 1\n\n", 1)


@pytest_twisted.ensureDeferred
async def test_the_end_of_the_connection_as_the_end_of_the_body(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A body without length ends well when the connection is closed, and badly when it is reset."""
    stub_openai.script(
        "/v1/chat/completions",
        stream(b"data: 1\n\n", End.CLOSE, chunked=False),
        stream(b"data: 1\n\n", End.ABORT, chunked=False),
    )
    live = relay_to()

    assert (await live.answer(chat(stream=True))).body == b"data: 1\n\n"
    with pytest.raises(UpstreamUnreachable, match="middle of its answer"):
        await live.answer(chat(stream=True))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((End.CLOSE,), "closed the connection without an answer"),
        ((End.ABORT,), "closed the connection without an answer"),
        ((b"HTTP/1.1 200 OK\r\nContent-", End.CLOSE), "broke off in the middle of its answer"),
        ((b"SSH-2.0-OpenSSH\r\n", End.CLOSE), "not valid HTTP"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", End.STALL), "not valid HTTP"),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, End.STALL), "not valid HTTP"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_upstream_without_an_answer(
    stub_openai: StubOpenAI, relay_to: Make, steps: tuple[Step, ...], words: str
) -> None:
    """No answer, half a head, or something that is not HTTP: a connection error that says so."""
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), steps))
    sink = MemorySink()

    with pytest.raises(UpstreamUnreachable, match=words):
        await relay_to().send(chat(), sink)

    assert sink.status is None


@pytest_twisted.ensureDeferred
async def test_nobody_listens(relay_to: Make) -> None:
    """A refused connection says so and tells no address."""
    listening = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    port = listening.getHost().port
    await listening.stopListening()

    with pytest.raises(UpstreamUnreachable) as caught:
        await relay_to(base_url=f"http://127.0.0.1:{port}/v1").answer(chat())

    assert caught.value.message == "The upstream refused the connection."
    assert (caught.value.status, caught.value.code) == (502, "connection_error")


@pytest_twisted.ensureDeferred
async def test_nobody_has_the_name(relay_to: Make) -> None:
    """A name that cannot be resolved says so."""
    with pytest.raises(UpstreamUnreachable, match="name could not be resolved"):
        await relay_to(base_url="http://upstream.invalid/v1").answer(chat())


# -- Timers -------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_connect_timer(clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """A connection that does not come up in time, TLS included, is a timeout of the connect timer."""
    hello: Deferred[bytes] = Deferred()

    class Mute(Protocol):
        def dataReceived(self, data: bytes) -> None:
            hello.callback(data)

    listening = reactor.listenTCP(0, Factory.forProtocol(Mute), interface="127.0.0.1")
    relayed = relay_to(**limits, base_url=f"https://localhost:{listening.getHost().port}").send(chat())
    assert (await hello).startswith(b"\x16\x03")  # TLS has begun

    clock.advance(9.9)
    assert not relayed.called
    clock.advance(0.2)

    with pytest.raises(UpstreamTimeout, match="connect timer ran out after 10 s"):
        await relayed
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_first_byte_timer(stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """An upstream that takes the request and says nothing runs into the first byte timer."""
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), (End.STALL,)))
    arrived, departed = stub_openai.next_request(), stub_openai.next_departure()
    relayed = relay_to(**limits).send(chat())
    await arrived

    clock.advance(19.9)
    assert not relayed.called
    clock.advance(0.2)

    with pytest.raises(UpstreamTimeout, match="first byte timer ran out after 20 s") as caught:
        await relayed
    assert (caught.value.status, caught.value.code) == (504, "timeout")
    await departed


@pytest_twisted.ensureDeferred
async def test_silence_timer(stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """Every byte starts the silence timer anew; a silence that is too long ends the answer."""
    gate: Deferred[None] = Deferred()
    stub_openai.script("/v1/chat/completions", stream(b"1", gate, b"2", End.STALL))
    sink = MemorySink()
    relayed = relay_to(**limits).send(chat(stream=True), sink)
    await sink.after(1)
    clock.advance(29)
    gate.callback(None)
    await sink.after(2)
    clock.advance(29.9)
    assert not relayed.called
    departed = stub_openai.next_departure()
    clock.advance(0.2)

    with pytest.raises(UpstreamTimeout, match="silence timer ran out after 30 s"):
        await relayed
    await departed
    assert (sink.body, sink.ended) == (b"12", 1)


@pytest_twisted.ensureDeferred
async def test_a_pause_of_ours_is_no_silence(
    stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make
) -> None:
    """While the client is slow, the upstream is not blamed for it; afterwards its time begins anew."""
    stub_openai.script("/v1/chat/completions", stream(b"1", End.STALL))
    sink = MemorySink()
    relayed = relay_to(**limits).send(chat(stream=True), sink)
    await sink.after(1)
    assert sink.producer is not None
    sink.producer.pauseProducing()
    clock.pump([5] * 9)
    assert not relayed.called
    sink.producer.resumeProducing()
    clock.pump([5] * 5)
    assert not relayed.called
    clock.pump([5] * 7)

    with pytest.raises(UpstreamTimeout, match="silence timer"):
        await relayed


def drip(gates: list[Deferred[None]]) -> Iterator[Step]:
    """An answer without end, whose next byte comes when the last of the gates opens."""
    while True:
        gates.append(Deferred())
        yield b"."
        yield gates[-1]


@pytest.mark.parametrize("headers", [EVENTS, ()], ids=["stream", "body"])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_flows(
    stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make, headers: Any
) -> None:
    """An answer that keeps coming is not cut, until it is silent for as long as a request may wait."""
    gates: list[Deferred[None]] = []
    stub_openai.script("/v1/chat/completions", RawAnswer(200, headers, drip(gates), chunked=True))
    sink = MemorySink()
    relayed = relay_to(**{**limits, "silence_timeout": 500.0}).send(chat(stream=True), sink)
    for count in range(1, 37):
        await sink.after(count)
        clock.pump([10] * 9)
        assert not relayed.called
        gates[-1].callback(None)
    await sink.after(37)
    clock.pump([10] * 9 + [9])
    assert not relayed.called
    clock.advance(1.1)

    with pytest.raises(UpstreamTimeout, match="silence timer ran out after 100 s"):
        await relayed


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_nothing(
    stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make
) -> None:
    """A client has as long to read on as a request may wait, each time anew."""
    gates: list[Deferred[None]] = []
    stub_openai.script("/v1/chat/completions", RawAnswer(200, EVENTS, drip(gates), chunked=True))
    sink = MemorySink()
    relayed = relay_to(**limits).send(chat(stream=True), sink)
    for count in range(1, 5):
        await sink.after(count)
        assert sink.producer is not None
        sink.producer.pauseProducing()
        clock.pump([10] * 9)
        sink.producer.pauseProducing()
        clock.advance(9)
        assert not relayed.called
        if count < 4:
            sink.producer.resumeProducing()
            gates[-1].callback(None)
    clock.advance(1.1)

    with pytest.raises(UpstreamTimeout, match="client did not read its response for 100 s"):
        await relayed


@pytest_twisted.ensureDeferred
async def test_total_timer(stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """An answer that keeps coming runs into the limit of the whole where one is set, also while it is paused."""
    gates: list[Deferred[None]] = []
    stub_openai.script("/v1/chat/completions", RawAnswer(200, EVENTS, drip(gates), chunked=True))
    sink = MemorySink()
    relayed = relay_to(**{**limits, "request_total_timeout": 100.0}).send(chat(stream=True), sink)
    for count in range(1, 10):
        await sink.after(count)
        clock.advance(11)
        gates[-1].callback(None)
    await sink.after(10)
    assert not relayed.called
    assert sink.producer is not None
    sink.producer.pauseProducing()
    clock.advance(1.1)

    with pytest.raises(UpstreamTimeout, match="total timer ran out after 100 s"):
        await relayed


@pytest_twisted.ensureDeferred
async def test_no_timer_is_left(clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """After an answer only the sweeper of idle connections is scheduled."""
    live = relay_to(**limits)
    await gatherResults([live.send(chat()) for _ in range(3)])

    assert [call.getTime() for call in clock.getDelayedCalls()] == [30.0]
