"""
Connections of the relay that are used again, and those that are not.
"""

from __future__ import annotations

import socket
import tempfile
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock

from claudeproxy.core.relay import RelayRequest
from claudeproxy.errors import UpstreamUnreachable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.relaying import Make, MemorySink, chat, post, stream, until


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
