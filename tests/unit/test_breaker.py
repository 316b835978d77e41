"""
The circuit breaker, told the time.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from claudeproxy.core.breaker import Breaker, BreakerState

PAUSE = 10.0


def opened(limit: int = 3, now: float = 100.0) -> Breaker:
    """
    A breaker that has just opened.
    """
    breaker = Breaker(limit, PAUSE)
    for _ in range(limit):
        breaker.failed(visit(breaker, now), now)
    assert breaker.state(now) is BreakerState.OPEN
    return breaker


def visit(breaker: Breaker, now: float) -> int:
    """
    Be let in.
    """
    given = breaker.admit(now)
    assert given is not None
    return given


@given(st.integers(1, 20), st.lists(st.booleans(), max_size=60))
def test_it_opens_after_so_many_failures_in_a_row(limit: int, outcomes: list[bool]) -> None:
    """It is open once the last so many visits failed, and not one visit before."""
    breaker, row = Breaker(limit, PAUSE), 0
    for well in outcomes:
        this = visit(breaker, 0)
        if well:
            breaker.succeeded(this)
        else:
            assert breaker.failed(this, 0) is (row + 1 == limit)
        row = 0 if well else row + 1
        assert row == breaker.failures
        assert (BreakerState.OPEN if row == limit else BreakerState.CLOSED) is breaker.state(0)
        if row == limit:
            assert breaker.admit(0) is None
            return


def test_without_a_limit_it_never_opens() -> None:
    """A limit of 0 is no breaker."""
    breaker = Breaker(0, PAUSE)
    for _ in range(1000):
        breaker.failed(visit(breaker, 0), 0)
    assert breaker.state(0) is BreakerState.CLOSED


def test_one_may_try_after_the_pause() -> None:
    """When the pause is over one visit is let in, and no other while it is not known how that one fares."""
    breaker = opened()
    assert (None, 0.5) == (breaker.admit(109.5), breaker.left(109.5))
    assert breaker.state(110) is BreakerState.HALF_OPEN
    probe = visit(breaker, 110)
    assert not breaker.succeeded(probe - 1)
    assert [None] * 3 == [breaker.admit(now) for now in (110, 120, 1e9)]

    assert breaker.succeeded(probe)
    assert (BreakerState.CLOSED, 0) == (breaker.state(110), breaker.failures)
    assert visit(breaker, 110) == visit(breaker, 110)


def test_a_failed_try_opens_it_again() -> None:
    """The one that may try fails: the pause begins anew."""
    breaker = opened()
    breaker.failed(visit(breaker, 110), 111)

    assert (BreakerState.OPEN, 10.0, 4) == (breaker.state(111), breaker.left(111), breaker.failures)
    assert breaker.admit(120.9) is None
    visit(breaker, 121)


def test_a_try_that_is_given_up() -> None:
    """When the one that tries leaves before anything is known, another one may try at once."""
    breaker = opened()
    breaker.gave_up(visit(breaker, 110))

    assert breaker.state(110) is BreakerState.HALF_OPEN
    breaker.succeeded(visit(breaker, 110))
    assert breaker.state(110) is BreakerState.CLOSED


def test_late_news_do_not_count() -> None:
    """What was sent before the breaker opened neither closes it, nor opens it again, nor ends the try."""
    breaker = Breaker(1, PAUSE)
    late = [visit(breaker, 0) for _ in range(5)]
    breaker.failed(late.pop(), 0)
    breaker.failed(late.pop(), 9)
    assert 10.0 == breaker.left(0)
    breaker.succeeded(late.pop())
    assert breaker.state(0) is BreakerState.OPEN
    probe = visit(breaker, 10)
    breaker.succeeded(late.pop())
    breaker.gave_up(late.pop())
    assert (BreakerState.HALF_OPEN, None) == (breaker.state(10), breaker.admit(10))
    breaker.succeeded(probe)
    breaker.failed(probe, 10)
    assert (BreakerState.CLOSED, 0) == (breaker.state(10), breaker.failures)


def test_a_clock_that_is_set_back() -> None:
    """A clock that goes back by an hour does not make the pause longer than it is."""
    breaker = opened(now=5000)
    assert 10.0 == breaker.left(1400)
    assert breaker.admit(1409) is None
    visit(breaker, 1410)


class Visits(RuleBasedStateMachine):
    """
    Any order of visits, outcomes and times, those in which the clock goes back included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(3, PAUSE)
        self.now = 1000.0
        self.out: list[tuple[int, bool]] = []

    @rule(seconds=st.floats(-100, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def come(self) -> None:
        state = self.breaker.state(self.now)
        given = self.breaker.admit(self.now)
        if state is not BreakerState.HALF_OPEN:
            assert (given is not None) is (state is BreakerState.CLOSED)
        if given is not None:
            self.out.append((given, state is BreakerState.HALF_OPEN))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(["well", "failed", "left"]))
    def go(self, data: st.DataObject, outcome: str) -> None:
        given, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if outcome == "well":
            self.breaker.succeeded(given)
        elif outcome == "failed":
            self.breaker.failed(given, self.now)
        else:
            self.breaker.gave_up(given)

    @invariant()
    def one_tries_at_most(self) -> None:
        assert sum(tries for _, tries in self.out) <= 1

    @invariant()
    def the_pause_is_no_longer_than_it_is(self) -> None:
        # To a nanosecond: sums of seconds since the epoch are rounded.
        assert 0 <= self.breaker.left(self.now) <= PAUSE + 1e-9

    @invariant()
    def it_is_open_after_three_failures_only(self) -> None:
        if self.breaker.failures < 3:
            assert self.breaker.state(self.now) is BreakerState.CLOSED


TestVisits = Visits.TestCase
