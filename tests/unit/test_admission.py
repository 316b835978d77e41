"""
Who is let in, and that every place comes back.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.config import LimitsConfig
from claudeproxy.core.limits import Standing
from claudeproxy.errors import ConcurrencyLimitExceeded, RateLimited
from claudeproxy.ops.admission import Admission, Ticket

UNLIMITED: dict[str, Any] = {"rate_limit_per_ip": 0, "rate_limit_per_session": 0, "max_concurrent_per_key": 0}


def limited(clock: Clock, **limits: Any) -> Admission:
    """Return admission with these limits and no others."""
    return Admission(clock, LimitsConfig(**{**UNLIMITED, **limits}))


def admitted(admission: Admission, *whose: Any) -> int:
    """Return how many of 100 requests are let in that are over at once."""
    count = 0
    for _ in range(100):
        try:
            admission.admit(*whose).release()
            count += 1
        except RateLimited:
            break
    return count


def test_no_limits(clock: Clock) -> None:
    """A limit of 0 is none, and there is nothing to tell about it."""
    admission = limited(clock)
    tickets = [admission.admit("a", "1.1.1.1", "s") for _ in range(1000)]

    assert {None} == {ticket.standing for ticket in tickets}
    assert {"a": 1000} == admission.running


def test_by_address(clock: Clock) -> None:
    """An address has its number of requests in a window, whatever its keys are; others have their own."""
    admission = limited(clock, rate_limit_per_ip=3)
    assert Standing(3, 2, 120) == admission.admit("a", "1.1.1.1").standing
    admission.admit("b", "1.1.1.1")
    assert Standing(3, 0, 120) == admission.admit("c", "1.1.1.1").standing
    with pytest.raises(RateLimited, match="3 are allowed in 60 seconds") as refused:
        admission.admit("d", "1.1.1.1")

    assert 61 == refused.value.retry_after
    assert 2 == admission.admit("a", "2.2.2.2").standing.remaining  # type: ignore[union-attr]
    clock.advance(61)
    admission.admit("a", "1.1.1.1")


def test_by_session(clock: Clock) -> None:
    """A session has its own number, and a stranger who names it uses up nothing of it."""
    admission = limited(clock, rate_limit_per_session=3)

    assert 100 == admitted(admission, "a", "1.1.1.1")
    assert 3 == admitted(admission, "b", "1.1.1.1", "s")
    assert 3 == admitted(admission, "a", "1.1.1.1", "s")
    assert 3 == admitted(admission, "a", "1.1.1.1", "t")


def test_who_is_refused_is_not_counted(clock: Clock) -> None:
    """A request that one limit refuses uses up nothing of another."""
    admission = limited(clock, rate_limit_per_ip=5, rate_limit_per_session=2, max_concurrent_per_key=2)
    tickets = [admission.admit("a", "1.1.1.1", "s") for _ in range(2)]
    for _ in range(10):
        with pytest.raises(ConcurrencyLimitExceeded):
            admission.admit("a", "1.1.1.1")
    for ticket in tickets:
        ticket.release()
    assert 0 == admitted(admission, "a", "1.1.1.1", "s")

    assert 3 == admission.standing("a", "1.1.1.1").remaining  # type: ignore[union-attr]
    assert Standing(2, 0, 120) == admission.standing("a", "1.1.1.1", "s")
    assert {} == admission.running


def test_by_key(clock: Clock) -> None:
    """A key has its number of requests at the same time; the next one is let in when one is over."""
    admission = limited(clock, max_concurrent_per_key=2)
    first, _ = admission.admit("a", "1.1.1.1"), admission.admit("a", "2.2.2.2")
    with pytest.raises(ConcurrencyLimitExceeded):
        admission.admit("a", "3.3.3.3")
    other = admission.admit("", "1.1.1.1")
    first.release()
    first.release()
    admission.admit("a", "1.1.1.1")
    with pytest.raises(ConcurrencyLimitExceeded):
        admission.admit("a", "1.1.1.1")
    other.release()

    assert {"a": 2} == admission.running


def test_by_rate_of_a_key(clock: Clock) -> None:
    """A key has its number of requests in a window, from wherever they come."""
    admission = limited(clock, rate_limit_per_key=2)
    admission.admit("a", "1.1.1.1")
    admission.admit("a", "2.2.2.2")
    with pytest.raises(RateLimited, match="of this key"):
        admission.admit("a", "3.3.3.3")

    admission.admit("b", "1.1.1.1")


def test_who_tries_keys_is_counted(clock: Clock) -> None:
    """An address can try as many keys as it may have requests, and takes nothing from those who have a key there."""
    admission = limited(clock, rate_limit_per_ip=2)
    admission.turned_away("1.1.1.1")
    admission.turned_away("1.1.1.1")
    with pytest.raises(RateLimited, match="wrong keys"):
        admission.turned_away("1.1.1.1")

    assert {} == admission.running
    assert 2 == admitted(admission, "a", "1.1.1.1")


def test_a_window_in_milliseconds(clock: Clock) -> None:
    """A window that is no whole number of seconds is rounded up."""
    admission = limited(clock, rate_limit_per_ip=1, rate_limit_window=1.5)

    assert Standing(1, 0, 4) == admission.admit("a", "1.1.1.1").standing


def test_other_limits(clock: Clock) -> None:
    """New limits hold at once: who is inside is counted, and so are the window's requests, for as long as it is one."""
    limits = {"rate_limit_per_ip": 5, "max_concurrent_per_key": 5}
    admission = limited(clock, **limits)
    inside = [admission.admit("a", "1.1.1.1") for _ in range(3)]

    admission.use(LimitsConfig(**{**UNLIMITED, **limits, "max_concurrent_per_key": 3}))
    with pytest.raises(ConcurrencyLimitExceeded, match="3 requests"):
        admission.admit("a", "1.1.1.1")
    inside.pop().release()
    assert Standing(5, 1, 120) == admission.admit("a", "1.1.1.1").standing

    admission.use(LimitsConfig(**{**UNLIMITED, "rate_limit_per_ip": 4}))
    with pytest.raises(RateLimited, match="4 are allowed"):
        admission.admit("b", "1.1.1.1")
    admission.use(LimitsConfig(**{**UNLIMITED, "rate_limit_per_ip": 4, "rate_limit_window": 30.0}))
    assert Standing(4, 3, 60) == admission.admit("b", "1.1.1.1").standing
    admission.use(LimitsConfig(**UNLIMITED))
    assert admission.admit("b", "1.1.1.1").standing is None
    admission.use(LimitsConfig(**{**UNLIMITED, "rate_limit_per_ip": 4, "rate_limit_window": 30.0}))
    assert Standing(4, 3, 60) == admission.admit("b", "1.1.1.1").standing


ARRIVAL = st.tuples(
    st.just("arrive"), st.sampled_from("abc"), st.sampled_from(["1.1.1.1", "2.2.2.2"]), st.sampled_from([None, "s"])
)
DEPARTURE = st.tuples(st.just("leave"), st.integers(0, 20), st.integers(1, 3))
PAUSE = st.tuples(st.just("wait"), st.floats(0, 3))


@given(
    st.lists(ARRIVAL | DEPARTURE | PAUSE, max_size=200),
    st.integers(0, 4),
    st.integers(0, 12),
    st.integers(0, 6),
)
def test_whatever_happens(events: list[tuple[Any, ...]], at_once: int, per_ip: int, per_session: int) -> None:
    """No count goes over its limit or below zero, whoever comes and goes however often, and all return to zero."""
    clock = Clock()
    admission = Admission(
        clock,
        LimitsConfig(
            rate_limit_per_ip=per_ip,
            rate_limit_per_session=per_session,
            rate_limit_window=2.0,
            max_concurrent_per_key=at_once,
        ),
    )
    inside: list[tuple[str, Ticket]] = []
    gone: list[Ticket] = []
    let_in: list[tuple[float, str]] = []
    for what, *how in events:
        if what == "wait":
            clock.advance(how[0])
        elif what == "leave" and inside:
            _, ticket = inside.pop(how[0] % len(inside))
            for _ in range(how[1]):
                ticket.release()
            gone.append(ticket)
        elif what == "arrive":
            try:
                inside.append((how[0], admission.admit(*how)))
                let_in.append((clock.seconds(), how[1]))
            except ConcurrencyLimitExceeded:
                assert at_once == admission.running[how[0]]
            except RateLimited as refused:
                assert refused.retry_after is not None and 0 < refused.retry_after <= 3
                # A request that was never let in has nothing to give back; late releases of others do nothing.
                for ticket in gone:
                    ticket.release()
        counted: dict[str, int] = {}
        for key, _ in inside:
            counted[key] = counted.get(key, 0) + 1
        assert counted == admission.running
        assert not at_once or max(counted.values(), default=0) <= at_once
    if per_ip:
        for address in ("1.1.1.1", "2.2.2.2"):
            windows = [time // 2 for time, whose in let_in if whose == address]
            assert all(windows.count(window) <= per_ip for window in windows)
    for _, ticket in inside:
        ticket.release()
    clock.advance(4)

    assert {} == admission.running
    assert admission.standing("a", "1.1.1.1") == (Standing(per_ip, per_ip, 0.0) if per_ip else None)


LIMITS = st.tuples(
    st.just("limit"), st.integers(0, 4), st.integers(0, 12), st.integers(0, 6), st.sampled_from([1.0, 2.0])
)


@given(st.lists(ARRIVAL | DEPARTURE | PAUSE | LIMITS, max_size=200))
def test_whatever_the_limits_become(events: list[tuple[Any, ...]]) -> None:
    """
    However often the limits change, every request that is inside is counted, each once, and all that are let in and
    turned away are so by the limits of that moment.
    """
    clock = Clock()
    admission, at_once = limited(clock), 0
    inside: list[tuple[str, Ticket]] = []
    for what, *how in events:
        if what == "wait":
            clock.advance(how[0])
        elif what == "limit":
            at_once, per_ip, per_session, window = how
            admission.use(
                LimitsConfig(
                    rate_limit_per_ip=per_ip,
                    rate_limit_per_session=per_session,
                    rate_limit_window=window,
                    max_concurrent_per_key=at_once,
                )
            )
        elif what == "leave" and inside:
            _, ticket = inside.pop(how[0] % len(inside))
            for _ in range(how[1]):
                ticket.release()
        elif what == "arrive":
            before = admission.running.get(how[0], 0)
            try:
                inside.append((how[0], admission.admit(*how)))
                assert not at_once or before < at_once
            except ConcurrencyLimitExceeded:
                assert 0 < at_once <= before
            except RateLimited:
                assert not at_once or before < at_once
        keys = [key for key, _ in inside]
        assert {key: keys.count(key) for key in keys} == admission.running
    for _, ticket in inside:
        ticket.release()

    assert {} == admission.running
