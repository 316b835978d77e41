"""
A clock that is set forward by a day, or back by an hour, while everything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from twisted.web.http import stringToDatetime

from claudeproxy.config import LimitsConfig
from tests.memory.doubles import EVENTS
from tests.memory.wire import House, Wire, chat_body

NOON = 1_800_000_000.0
HOUR = 3600.0


def forward(house: House) -> None:
    """The clock is set a day forward."""
    house.clock.advance(24 * HOUR)


def back(house: House) -> None:
    """The clock is set an hour back."""
    house.clock.rightNow -= HOUR


JUMPS = pytest.mark.parametrize("jump", [forward, back])


@pytest.fixture
def house() -> Iterator[House]:
    """
    The web side at noon, with narrow limits; nothing is in flight in the end and no timer is left.
    """
    house = House(limits=LimitsConfig(rate_limit_per_ip=4, rate_limit_per_session=0))
    house.clock.rightNow = NOON
    yield house
    for channel in tuple(house.site.channels):
        channel.connectionLost()
    assert [] == house.clock.getDelayedCalls()
    assert (0, {}) == (house.drain.in_flight, house.admission.running)


def streaming(house: House, model: str) -> Wire:
    """A client in the middle of a stream."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(model, stream=True))
    if model == "sonnet":
        house.backend.turn.start()
        house.backend.turn.say("Hello")
    else:
        house.relay.exchange.head(200, EVENTS)
        house.relay.exchange.send(b"data: 1\n\n")
    return wire


@JUMPS
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
def test_a_stream(house: House, jump: Callable[[House], None], model: str) -> None:
    """A stream goes on and ends well, its spans in the log are not negative, and its connection serves on."""
    wire = streaming(house, model)
    jump(house)
    if model == "sonnet":
        house.backend.turn.say(" again")
        house.backend.turn.end()
    else:
        house.relay.exchange.send(b"data: [DONE]\n\n")
        house.relay.exchange.end()
    answer = wire.answer()

    assert (200, True) == (answer.status, answer.complete)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert 0 <= house.access["first_byte_ms"] and 0 <= house.access["total_ms"]
    wire.send("GET", "/v1/models")
    assert 200 == wire.answer().status


@JUMPS
def test_the_limits(house: House, jump: Callable[[House], None]) -> None:
    """What was counted at another time keeps nobody out, and what is told of the limits stays within the window."""
    while house.ask("GET", "/v1/models").status == 200:
        pass
    jump(house)
    answer = house.ask("GET", "/v1/models")

    assert (200, "3") == (answer.status, answer.headers["x-ratelimit-remaining"])
    assert 0 <= int(answer.headers["x-ratelimit-reset"]) - house.clock.seconds() <= 121
    assert house.clock.seconds() == stringToDatetime(answer.headers["date"].encode())


@JUMPS
def test_connections(house: House, jump: Callable[[House], None]) -> None:
    """A connection that waits is closed at the latest as much later as the clock was set back; new ones as ever."""
    idle = house.connect()
    half = house.connect()
    half.send_raw(b"GET / HT")
    jump(house)
    fresh = house.connect()
    fresh.send("GET", "/health/live")
    assert 200 == fresh.answer().status
    house.clock.advance(76)
    assert fresh.closing
    house.clock.advance(HOUR)

    assert (True, True) == (idle.closing, half.closing)
    assert 408 == half.answer().status


@JUMPS
def test_a_stop(house: House, jump: Callable[[House], None]) -> None:
    """A request that runs is waited for, or cut short, and the stop comes to its end."""
    from twisted.internet.defer import ensureDeferred

    wire = streaming(house, "sonnet")
    stopped = ensureDeferred(house.drain.stop(10))
    jump(house)
    house.clock.advance(HOUR + 11)

    assert house.backend.turn.cancelled
    assert b"server_shutting_down" in wire.answer().body
    assert stopped.called
