"""
The relay over time: promptness, back-pressure and departures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol

from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.relaying import Make, MemorySink, chat, post, stream, until

BIG = b"x" * 65536

# -- Promptness and back-pressure ---------------------------------------------


@pytest_twisted.ensureDeferred
async def test_every_chunk_passes_at_once(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A chunk is with the client before the upstream has the next one."""
    gates: list[Deferred[None]] = [Deferred() for _ in range(3)]
    stub_openai.script("/v1/chat/completions", stream(b"a", gates[0], b"b", gates[1], b"c", gates[2]))
    sink = MemorySink()
    relayed = relay_to().send(chat(stream=True), sink)

    for index, gate in enumerate(gates):
        await until(reactor, lambda: len(sink.chunks) > index)  # noqa: B023
        assert sink.chunks == [b"a", b"b", b"c"][: index + 1]
        gate.callback(None)

    assert await relayed is None
    assert sink.ended == 1


@pytest.mark.parametrize("chunked", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_slow_client_stops_the_upstream(stub_openai: StubOpenAI, relay_to: Make, chunked: bool) -> None:
    """While the sink is paused the upstream's socket fills up and it has to wait; nothing is lost afterwards."""
    pieces = 400
    stub_openai.script("/v1/chat/completions", stream(*[BIG] * pieces, chunked=chunked))
    sink = MemorySink()
    relayed = relay_to().send(chat(stream=True), sink)
    await sink.after(1)
    assert sink.producer is not None
    sink.producer.pauseProducing()
    sink.producer.pauseProducing()

    (got,) = stub_openai.requests
    await until(reactor, lambda: got.paused)
    sent, passed = got.sent, len(sink.body)
    assert passed < sent < pieces * len(BIG)

    sink.producer.resumeProducing()
    await relayed
    assert sink.body == BIG * pieces


@pytest_twisted.ensureDeferred
async def test_a_client_that_is_slow_from_the_start(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A sink that pauses as soon as it gets its producer is not overrun by what the upstream has ready."""
    stub_openai.script("/v1/chat/completions", stream(*[BIG] * 400))

    class SlowSink(MemorySink):
        def flow_from(self, producer: Any) -> None:
            super().flow_from(producer)
            producer.pauseProducing()

    sink = SlowSink()
    relayed = relay_to().send(chat(stream=True), sink)
    await until(reactor, lambda: bool(stub_openai.requests) and stub_openai.requests[0].paused)

    assert len(sink.body) <= 2 * len(BIG)

    assert sink.producer is not None
    sink.producer.resumeProducing()
    await relayed
    assert len(sink.body) == 400 * len(BIG)


@pytest_twisted.ensureDeferred
async def test_a_slow_upstream_stops_the_upload(relay_to: Make) -> None:
    """A file is read only as fast as the upstream takes it."""

    class Deaf(Protocol):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    size = 200_000_000
    listening = reactor.listenTCP(0, Factory.forProtocol(Deaf), interface="127.0.0.1")
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        relayed = relay_to(base_url=f"http://127.0.0.1:{listening.getHost().port}").send(post("/files", file))
        await until(reactor, lambda: 0 < file.tell() < size)  # at its end until the connection is up: it was measured
        read = await settled(file.tell)

        assert 0 < read < 100_000_000
        relayed.cancel()
        with pytest.raises(CancelledError):
            await relayed
    await listening.stopListening()


async def settled(value: Callable[[], int]) -> int:
    """Wait until a value has not changed for a while."""
    seen: list[int] = []

    def same() -> bool:
        seen.append(value())
        return len(seen) >= 5 and len(set(seen[-5:])) == 1

    await until(reactor, same)
    return seen[-1]


# -- Departures ---------------------------------------------------------------


def leave_by_cancel(relayed: Deferred[Any], sink: MemorySink) -> None:
    """As the web framework does it."""
    relayed.cancel()


def leave_by_stop(relayed: Deferred[Any], sink: MemorySink) -> None:
    """As the client's transport does it."""
    assert sink.producer is not None
    sink.producer.stopProducing()


def leave_by_both(relayed: Deferred[Any], sink: MemorySink) -> None:
    """As it really happens."""
    leave_by_stop(relayed, sink)
    relayed.cancel()


def leave_paused(relayed: Deferred[Any], sink: MemorySink) -> None:
    """As a client does that has not read for a while."""
    assert sink.producer is not None
    sink.producer.pauseProducing()
    relayed.cancel()


@pytest.mark.parametrize("leave", [leave_by_cancel, leave_by_stop, leave_by_both, leave_paused])
@pytest_twisted.ensureDeferred
async def test_a_departure_drops_the_upstream_connection(
    stub_openai: StubOpenAI, relay_to: Make, leave: Callable[[Deferred[Any], MemorySink], None]
) -> None:
    """A client that leaves in the middle of a stream takes the upstream's connection with it, at once."""
    stub_openai.script("/v1/chat/completions", stream(b"data: 1\n\n", End.STALL))
    sink = MemorySink()
    live = relay_to()
    relayed = live.send(chat(stream=True), sink)
    await sink.after(1)
    departed = stub_openai.next_departure()

    leave(relayed, sink)

    with pytest.raises(CancelledError):
        await relayed
    got = await departed
    assert got.gone
    assert sink.ended == 1
    assert live.client.idle_connections == 0


@pytest_twisted.ensureDeferred
async def test_a_departure_before_the_head(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A client that leaves while the upstream still thinks takes the connection with it as well."""
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), (End.STALL,)))
    sink = MemorySink()
    arrived, departed = stub_openai.next_request(), stub_openai.next_departure()
    relayed = relay_to().send(chat(), sink)
    await arrived

    relayed.cancel()

    with pytest.raises(CancelledError):
        await relayed
    await departed
    assert (sink.status, sink.flowed) == (None, False)


@pytest_twisted.ensureDeferred
async def test_a_departure_before_the_connection(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A client that leaves while we connect: nothing is sent."""
    live = relay_to()
    relayed = live.send(chat())

    relayed.cancel()

    with pytest.raises(CancelledError):
        await relayed
    await live.answer(post("/next", b""))
    assert [each.path for each in stub_openai.requests] == ["/v1/next"]


@pytest_twisted.ensureDeferred
async def test_nothing_reaches_a_sink_that_was_left(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """After the reader has left, not one more byte is written, although more had been received."""
    stub_openai.script("/v1/chat/completions", stream(b"one", b"two", b"three", End.STALL))
    sink, departed = MemorySink(), stub_openai.next_departure()
    relayed = relay_to().send(chat(stream=True), sink)
    sink.on_raw = lambda data: sink.producer and sink.producer.stopProducing()

    with pytest.raises(CancelledError):
        await relayed
    await departed
    assert len(sink.chunks) == 1


@pytest_twisted.ensureDeferred
async def test_a_sink_that_was_left_before_it_began(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A sink whose reader is already gone when it gets its producer is spared the body that came with the head."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), (head + b"3\r\none\r\n", End.STALL)))

    class LeftSink(MemorySink):
        def flow_from(self, producer: Any) -> None:
            super().flow_from(producer)
            producer.stopProducing()

    sink, departed = LeftSink(), stub_openai.next_departure()

    with pytest.raises(CancelledError):
        await relay_to().send(chat(stream=True), sink)
    await departed
    assert sink.chunks == []


@pytest_twisted.ensureDeferred
async def test_a_sink_that_raises(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A fault in the sink is our own: it is not reported as the upstream's, and the upstream is let go."""
    stub_openai.script("/v1/chat/completions", stream(b"one", End.STALL))
    sink = MemorySink()

    def fail(data: bytes) -> None:
        raise RuntimeError("a bug")

    sink.on_raw = fail
    departed = stub_openai.next_departure()

    with pytest.raises(RuntimeError, match="a bug"):
        await relay_to().send(chat(stream=True), sink)
    await departed
