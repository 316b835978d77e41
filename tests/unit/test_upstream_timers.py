"""
The timers of an exchange with an upstream.
"""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.backends.openai.timers import Watch


def watch(
    clock: Clock, request: float = 1000.0, shortest: float = 10.0, total: float = inf
) -> tuple[Watch, list[float]]:
    """A started watch, and the times at which it said that a timer ran out."""
    watch, expired = Watch(clock, request, shortest, total), list[float]()
    watch.start(lambda: expired.append(clock.seconds()))
    return watch, expired


def test_a_phase_runs_out(clock: Clock) -> None:
    """A phase without a sign of life ends after its limit, and the watch says which it was."""
    timers, expired = watch(clock)
    timers.phase("first byte", 20.0)

    clock.pump([1.0] * 50)

    assert expired == [20.0]
    assert (timers.expired, timers.limit) == ("first byte", 20.0)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("begun", [0.0, 1.0, 9.5, 10.5, 19.0, 35.0])
def test_a_shorter_phase_that_begins_later(clock: Clock, begun: float) -> None:
    """A phase that begins in the middle of a long one has its own limit from then on."""
    timers, expired = watch(clock)
    timers.phase("first byte", 300.0)
    clock.advance(begun)
    timers.phase("silence", 10.0)

    clock.pump([0.5] * 40)

    assert expired == [begun + 10.0]


def test_signs_of_life(clock: Clock) -> None:
    """A phase that tells how long it has been idle ends only when it has been idle for its limit."""
    timers, expired = watch(clock)
    last = 0.0
    timers.phase("silence", 10.0, lambda: clock.seconds() - last)
    for _ in range(5):
        clock.advance(9.0)
        last = clock.seconds()

    assert expired == []
    clock.pump([1.0] * 20)
    assert expired == [55.0]


def test_the_whole(clock: Clock) -> None:
    """The total limit stands over phases that never end, also over those of an answer."""
    timers, expired = watch(clock, total=25.0)
    timers.begun()
    timers.phase("silence", 10.0, lambda: 0.0)

    clock.pump([1.0] * 50)

    assert expired == [25.0]
    assert (timers.expired, timers.limit) == ("total", 25.0)


def test_the_wait_for_an_answer(clock: Clock) -> None:
    """The limit of the request stands over all phases until an answer begins, and over none of those that follow."""
    timers, expired = watch(clock, request=25.0)
    timers.phase("first byte", 10.0, lambda: 0.0)
    timers.rest()
    assert timers.left() == 25.0
    clock.pump([1.0] * 50)
    assert (expired, timers.expired, timers.limit) == ([25.0], "request", 25.0)

    timers, expired = watch(clock, request=25.0)
    timers.begun()
    timers.phase("silence", 10.0, lambda: 0.0)
    clock.pump([1.0] * 1000)
    assert expired == []
    timers.stop()


def test_stopping(clock: Clock) -> None:
    """After the end nothing runs out and nothing is scheduled."""
    timers, expired = watch(clock)
    timers.phase("silence", 10.0)
    timers.stop()
    timers.stop()

    assert clock.getDelayedCalls() == []
    clock.advance(100)
    assert (expired, timers.expired) == ([], None)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(5, 300)), min_size=1, max_size=6))
def test_no_deadline_is_missed(phases: list[tuple[float, float]]) -> None:
    """Whatever phases follow each other, the first one that lasts for its limit ends the exchange, to the second."""
    clock = Clock()
    timers, expired = watch(clock, request=10_000.0, shortest=min(limit for _, limit in phases))
    due = None
    for lasts, limit in phases:
        if due is None:
            timers.phase("phase", limit)
            if lasts >= limit:
                due = clock.seconds() + limit
        clock.pump([lasts / 100] * 100)
    if due is None:
        due = clock.seconds() - phases[-1][0] + phases[-1][1]
    clock.pump([0.5] * 700)

    assert len(expired) == 1
    assert due - 0.01 <= expired[0] <= due + 1.0
