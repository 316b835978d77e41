"""
The graceful end, as clients see it.
"""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from tests.memory.doubles import EVENTS
from tests.memory.wire import House, chat_body


def stop(house: House, timeout: float = 10) -> Deferred[None]:
    """Begin to stop; fires when nothing is in flight, or 2 s after what is left was cut short."""

    async def stopped() -> None:
        await house.drain.stop(timeout)
        await house.drain.last_words(2)

    return ensureDeferred(stopped())


def test_new_requests_are_refused(house: House) -> None:
    """While the daemon drains, new requests get 503 and their connection ends; health says why, and still answers."""
    wire = house.connect()
    house.drain.begin()
    wire.send("POST", "/v1/chat/completions", chat_body())

    answer = wire.answer()
    assert (503, "server_shutting_down") == (answer.status, answer.error["code"])
    assert ("close", True) == (answer.headers["connection"], wire.closing)
    assert "5" == answer.headers["retry-after"]
    assert [] == house.backend.turns
    ready = house.ask("GET", "/health/ready")
    assert (503, ["shutting down"]) == (ready.status, ready.json["reasons"])
    assert "unavailable" == house.ask("GET", "/health").json["status"]
    assert 200 == house.ask("GET", "/health/live").status


def test_requests_in_flight_finish(house: House) -> None:
    """What runs when the stop begins is finished, and the stop waits for it."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    turn = house.backend.turn
    turn.start()
    stopped = stop(house)
    house.clock.advance(9)
    turn.say("Hello")
    assert not stopped.called
    turn.end()

    assert stopped.called
    answer = wire.answer()
    assert (True, "close", True) == (answer.complete, answer.headers["connection"], wire.closing)
    house.clock.advance(10)
    assert not turn.cancelled


def test_nothing_in_flight(house: House) -> None:
    """Without requests the stop is immediate."""
    house.ask("GET", "/health")

    assert stop(house).called


@pytest.mark.parametrize("backend", ["claude", "upstream"])
def test_a_stream_that_takes_too_long(house: House, backend: str) -> None:
    """A stream that does not end in time is cut short: its client is told why, and its work is cancelled."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body("sonnet" if backend == "claude" else "gpt-4o", stream=True))
    if backend == "claude":
        house.backend.turn.start()
        house.backend.turn.say("Hello")
    else:
        house.relay.exchange.head(200, EVENTS)
        house.relay.exchange.send(b"data: 1\n\n")
    stopped = stop(house)
    house.clock.advance(10)

    assert (house.backend.turn if backend == "claude" else house.relay.exchange).cancelled
    answer = wire.answer()
    event = json.loads(answer.body.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert "server_shutting_down" == event["error"]["code"]
    assert (True, True) == (answer.complete, stopped.called)


def test_a_request_that_takes_too_long(house: House) -> None:
    """A request that has no answer yet when the time is over gets a status of its own."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    stopped = stop(house, 0)
    house.clock.advance(0)

    answer = wire.answer()
    assert (503, "server_shutting_down", True) == (answer.status, answer.error["code"], stopped.called)
    assert house.backend.turn.cancelled


def test_a_client_that_does_not_hear(house: House) -> None:
    """The stop does not wait for ever for a client that takes no last words."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    wire.transport.producer.pauseProducing()
    stopped = stop(house)
    house.clock.advance(10)
    house.clock.advance(2)

    assert stopped.called
    wire.leave()


def test_idle_connections(house: House) -> None:
    """Connections without a request can be closed; those with one stay."""
    idle, busy = house.connect(), house.connect()
    busy.send("POST", "/v1/chat/completions", chat_body())
    house.site.close_idle()

    assert (True, False) == (idle.closing, busy.closing)
    busy.leave()


def test_the_last_bytes(house: House) -> None:
    """The end waits until every connection is closed, so that what was answered last is read."""
    idle, answered = house.connect(), house.connect()
    answered.send("GET", "/health")
    house.drain.begin()
    closed = ensureDeferred(house.site.close(1.0))

    assert idle.closing and answered.closing and not closed.called
    idle.close()
    assert not closed.called
    answered.close()
    assert closed.called
    assert ensureDeferred(house.site.close(1.0)).called
    assert [] == house.clock.getDelayedCalls()


def test_connections_that_are_broken(house: House) -> None:
    """At the very end every connection is broken, also those whose clients have not taken their answers."""
    idle, busy = house.connect(), house.connect()
    busy.send("POST", "/v1/chat/completions", chat_body())
    stopped = stop(house, 0)
    house.site.abort()

    assert idle.transport.aborted and busy.transport.aborted
    for wire in (idle, busy):
        wire.close()
    house.clock.advance(0)
    assert stopped.called


def test_a_client_that_never_reads_the_last_bytes(house: House) -> None:
    """It does not keep the daemon from its end, and its own end does no harm afterwards."""
    wire = house.connect()
    closed = ensureDeferred(house.site.close(1.0))
    house.clock.advance(0.9)
    assert not closed.called
    house.clock.advance(0.1)

    assert closed.called
    wire.close()
