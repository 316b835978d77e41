"""
The relay over time: promptness, back-pressure, departures, deaths, timers, and connections that are used again.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from claudeproxy.core.relay import RelayRequest
from claudeproxy.errors import UpstreamTimeout, UpstreamUnreachable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer, Step
from tests.live.relaying import LiveRelay, MemorySink, chat, post, until

Make = Callable[..., LiveRelay]
EVENTS = ((b"Content-Type", b"text/event-stream"),)
BIG = b"x" * 65536


@pytest_twisted.async_yield_fixture
async def relay_to(stub_openai: StubOpenAI) -> AsyncIterator[Make]:
    """Makes relays to the stub."""
    made: list[LiveRelay] = []

    def make(**settings: object) -> LiveRelay:
        live = LiveRelay.to(reactor, **{"base_url": stub_openai.base_url, **settings})  # type: ignore[arg-type]
        made.append(live)
        return live

    yield make
    for live in made:
        await live.stop()


def stream(*steps: Step, chunked: bool = True) -> RawAnswer:
    """A stream of events."""
    return RawAnswer(200, EVENTS, steps, chunked=chunked)


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

    listening = reactor.listenTCP(0, Factory.forProtocol(Deaf), interface="127.0.0.1")
    with tempfile.TemporaryFile() as file:
        file.truncate(200_000_000)
        relayed = relay_to(base_url=f"http://127.0.0.1:{listening.getHost().port}").send(post("/files", file))
        read = await settled(file.tell)

        assert 0 < read < 100_000_000
        relayed.cancel()
        with pytest.raises(CancelledError):
            await relayed
    await listening.stopListening()


async def settled(value: Callable[[], int]) -> int:
    """Wait until a value is positive and has not changed for a while."""
    seen = [0]

    def same() -> bool:
        seen.append(value())
        return seen[-1] > 0 and len(set(seen[-5:])) == 1

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


@pytest.fixture
def limits(clock: Clock) -> dict[str, Any]:
    """Timers that only the test's clock moves."""
    return {
        "clock": clock,
        "connect_timeout": 10.0,
        "first_byte_timeout": 20.0,
        "silence_timeout": 30.0,
        "request_timeout": 100.0,
    }


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


@pytest_twisted.ensureDeferred
async def test_total_timer(stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make) -> None:
    """An answer that keeps coming and does not end runs into the limit of the whole, also while it is paused."""

    def drip() -> Iterator[Step]:
        while True:
            gates.append(Deferred())
            yield b"."
            yield gates[-1]

    gates: list[Deferred[None]] = []
    stub_openai.script("/v1/chat/completions", RawAnswer(200, EVENTS, drip(), chunked=True))
    sink = MemorySink()
    relayed = relay_to(**limits).send(chat(stream=True), sink)
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


# -- Connections that are used again ------------------------------------------


@pytest_twisted.ensureDeferred
async def test_connections_are_used_again(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Requests in sequence share a connection, parallel ones do not, and all are kept for later."""
    live = relay_to()
    for _ in range(3):
        await live.answer(chat())
    assert stub_openai.connections == 1

    await gatherResults([live.send(chat()) for _ in range(4)])
    assert stub_openai.connections == 4
    assert live.client.idle_connections == 4

    await gatherResults([live.send(chat(stream=True)) for _ in range(4)])
    assert stub_openai.connections == 4


@pytest.mark.parametrize("value", [b"close", b"Close", b"foo, close"])
@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_to_close(stub_openai: StubOpenAI, relay_to: Make, value: bytes) -> None:
    """When the upstream says that it closes, the next request gets a fresh connection."""
    answer = RawAnswer(200, ((b"Connection", value), (b"Content-Length", b"2")), (b"hi", End.STALL))
    stub_openai.script("/v1/x", answer, answer)
    live = relay_to()

    for _ in range(2):
        assert (await live.answer(RelayRequest(b"POST", b"/x", ()))).body == b"hi"

    assert stub_openai.connections == 2


@pytest_twisted.ensureDeferred
async def test_idle_connections_go(
    stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make
) -> None:
    """A connection that nobody used for the idle time is closed; one that was used since is not."""
    live = relay_to(**limits, idle_timeout=30.0)
    await gatherResults([live.send(chat()) for _ in range(2)])
    clock.advance(20)
    await live.answer(chat())
    clock.advance(10)
    assert live.client.idle_connections == 1
    clock.advance(20)
    assert live.client.idle_connections == 0
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_the_stale_connection_race(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A chat that meets a connection which the upstream closes in that moment is sent once more, and only once."""
    live = relay_to()
    await live.answer(chat())
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), (End.CLOSE,)))

    sink = await live.answer(chat())

    assert sink.status == 200
    assert (len(stub_openai.requests), stub_openai.connections) == (3, 2)

    closing = RawAnswer(None, (), (End.CLOSE,))
    stub_openai.script("/v1/chat/completions", closing, closing)
    with pytest.raises(UpstreamUnreachable):
        await live.answer(chat())
    assert len(stub_openai.requests) == 5


@pytest.mark.parametrize(
    ("request_", "times"),
    [
        (RelayRequest(b"GET", b"/models", ()), 2),
        (RelayRequest(b"DELETE", b"/files/1", ()), 2),
        (post("/embeddings?a=b", b"{}"), 2),
        (post("/files", b"{}"), 1),
        (post("/batches", b"{}"), 1),
        (post("/batches", b"{}", headers=((b"Idempotency-Key", b"k"),)), 2),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_sent_again(stub_openai: StubOpenAI, relay_to: Make, request_: RelayRequest, times: int) -> None:
    """Only what may be done twice is sent twice: a batch that was perhaps created is not created again."""
    live = relay_to()
    await live.answer(chat())
    before = len(stub_openai.requests)
    path = "/v1" + request_.path.partition(b"?")[0].decode()
    stub_openai.script(path, RawAnswer(None, (), (End.ABORT,)))

    if times == 1:
        with pytest.raises(UpstreamUnreachable):
            await live.answer(request_)
    else:
        await live.answer(request_)

    assert len(stub_openai.requests) - before == times


@pytest_twisted.ensureDeferred
async def test_a_file_is_sent_again_from_its_beginning(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """The second sending of a body from a file is whole."""
    live = relay_to()
    await live.answer(chat())
    stub_openai.script("/v1/embeddings", RawAnswer(None, (), (End.CLOSE,)))
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 20_000)
        await live.answer(post("/embeddings", file))

    assert stub_openai.requests[-1].raw_body == b"0123456789" * 20_000


@pytest_twisted.ensureDeferred
async def test_no_second_try_after_the_first_byte(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Once something was answered, nothing is sent again."""
    live = relay_to()
    await live.answer(chat())
    stub_openai.script("/v1/chat/completions", RawAnswer(None, (), (b"HTTP/1.1 2", End.CLOSE)))

    with pytest.raises(UpstreamUnreachable):
        await live.answer(chat())

    assert len(stub_openai.requests) == 2


@pytest_twisted.ensureDeferred
async def test_a_closed_connection_is_not_used(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Even a request that may not be sent twice survives that the upstream has closed its idle connections."""
    live = relay_to()
    await live.answer(chat())
    stub_openai.drop_connections()
    await until(reactor, lambda: live.client.idle_connections == 0)

    await live.answer(post("/batches", b"{}"))

    assert (len(stub_openai.requests), stub_openai.connections) == (2, 2)


@pytest_twisted.ensureDeferred
async def test_a_goodbye_that_nobody_has_read_yet(
    stub_openai: StubOpenAI, clock: Clock, limits: dict[str, Any], relay_to: Make
) -> None:
    """A connection whose end has arrived while it was idle, but was not processed yet, is not used either."""
    live = relay_to(**limits)
    await live.answer(chat())
    clock.advance(2)
    (channel,) = stub_openai._open
    channel.transport.socket.shutdown(socket.SHUT_WR)  # with the kernel at once; our reactor has not looked yet

    await live.answer(post("/batches", b"{}"))

    assert stub_openai.connections == 2


@pytest_twisted.ensureDeferred
async def test_unasked_bytes_spoil_a_connection(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """An upstream that says more than its answer cannot slip an answer under the next request."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    stub_openai.script("/v1/x", RawAnswer(200, ((b"Content-Length", b"2"),), (b"hi" + forged,)))
    live = relay_to()

    assert (await live.answer(RelayRequest(b"GET", b"/x", ()))).body == b"hi"
    assert b"forged" not in (await live.answer(RelayRequest(b"GET", b"/x", ()))).body
    assert stub_openai.connections == 2


@pytest_twisted.ensureDeferred
async def test_closing(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Closing drops what is idle and what is in use, fires when all is gone, for everyone who asks."""
    live = relay_to()
    await live.answer(chat())
    stub_openai.script("/v1/chat/completions", stream(b"1", End.STALL))
    sink = MemorySink()
    relayed = live.send(chat(stream=True), sink)
    await gatherResults([live.send(post("/embeddings", b"{}")), sink.after(1)])

    first, second = live.stop(), live.stop()
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    await second

    with pytest.raises(UpstreamUnreachable):
        await relayed
    await live.stop()
    assert live.client.idle_connections == 0
