"""
An answer that is given again: to a client that is slow, that leaves, or that the daemon has no time left for.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from claudeproxy.core.events import Usage
from tests.memory.doubles import EVENTS, JSON
from tests.memory.wire import House, Wire, chat_body

ROOM = 64 * 1024
"""What a connection takes before it says that its client is slow, as Twisted's do."""

TEXT = b"0123456789abcdef" * 60_000
STREAM = (EVENTS, b'data: "%b"\n\ndata: [DONE]\n\n' % TEXT)
OBJECT = (JSON, b'{"text": "%b"}' % TEXT)

whichever = pytest.mark.parametrize(("headers", "body"), [STREAM, OBJECT], ids=["stream", "object"])


def ask(house: House) -> Wire:
    """Send the request that is repeated."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body("gpt-4o"), headers={"Idempotency-Key": "k"})
    return wire


def answered(house: House, headers: Any, body: bytes) -> None:
    """Have it answered once."""
    wire = ask(house)
    house.relay.exchange.head(200, headers)
    house.relay.exchange.send(body)
    house.relay.exchange.end(Usage())
    assert body == wire.answer().body
    wire.leave()


def repeat(house: House) -> Wire:
    """Send it again, on a connection whose client reads nothing."""
    wire = house.connect()
    transport: Any = wire.transport
    write = transport.write

    def fill(data: bytes) -> None:
        write(data)
        if len(transport.value()) > ROOM:
            transport.producer.pauseProducing()

    transport.write = fill
    transport.writeSequence = lambda pieces: fill(b"".join(pieces))
    wire.send("POST", "/v1/chat/completions", chat_body("gpt-4o"), headers={"Idempotency-Key": "k"})
    return wire


def read(wire: Wire) -> bytes:
    """Take what has come off the wire; the client has caught up."""
    data = wire.sent
    wire.transport.clear()
    wire.channel.resumeProducing()
    return data


@whichever
def test_a_slow_client(house: House, headers: Any, body: bytes) -> None:
    """No more is written ahead than a connection takes, and in the end the answer is whole."""
    answered(house, headers, body)
    wire = repeat(house)
    pieces = []
    while house.drain.in_flight:
        assert ROOM < len(wire.sent) < 2 * ROOM + 1000
        pieces.append(read(wire))
    pieces.append(wire.sent)
    wire.transport.clear()
    wire.transport.write(b"".join(pieces))

    answer = wire.answer()
    assert (body, True, "true") == (answer.body, answer.complete, answer.headers["idempotent-replayed"])
    assert len(pieces) > 3
    assert 1 == len(house.relay.exchanges)


@whichever
def test_a_client_that_is_slower_than_a_request_may_wait(house: House, headers: Any, body: bytes) -> None:
    """A client that reads on every four minutes gets the whole of its answer."""
    answered(house, headers, body)
    wire = repeat(house)
    pieces = []
    while house.drain.in_flight:
        house.clock.advance(240)
        assert house.drain.in_flight
        pieces.append(read(wire))
    pieces.append(wire.sent)
    wire.transport.clear()
    wire.transport.write(b"".join(pieces))

    answer = wire.answer()
    assert answer.complete and answer.body.replace(b": keep-alive\n\n", b"") == body
    assert len(pieces) > 3


@whichever
def test_a_slow_client_that_leaves(house: House, headers: Any, body: bytes) -> None:
    """Nothing of the answer is held for it any more; the answer stays for the next."""
    answered(house, headers, body)
    wire = repeat(house)
    read(wire)
    wire.leave()
    assert (0, True, True) == (house.drain.in_flight, house.access["client_left"], house.access["replayed"])

    assert body == ask(house).answer().body


def test_a_client_that_never_reads(house: House) -> None:
    """It has as long as any request may wait; then its answer ends with an error, and its place is free."""
    answered(house, *STREAM)
    wire = repeat(house)
    house.clock.advance(299)
    assert not wire.closing
    house.clock.advance(1)

    answer = wire.answer()
    # It was in the middle of an event.
    assert (True, False) == (wire.closing, answer.complete)
    assert b"timeout" not in answer.body
    wire.close()
    assert "timeout" == house.access["error"]


def test_a_stop(house: House) -> None:
    """A stop does not wait for a client that does not read its repeat."""
    answered(house, *STREAM)
    wire = repeat(house)
    stopped = ensureDeferred(house.drain.stop(5.0))
    house.clock.advance(5)

    assert not wire.answer().complete
    wire.close()
    assert stopped.called
