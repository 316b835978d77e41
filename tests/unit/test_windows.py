"""
The counters of the rate limits.
"""

from __future__ import annotations

from threading import active_count

from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from twisted.internet.task import Clock

from claudeproxy.core.limits import Standing, WindowCount
from claudeproxy.ops.windows import WindowStorage

LENGTH = 10


def sliding(clock: Clock) -> tuple[SlidingWindowCounterRateLimiter, WindowStorage]:
    """The library's limiter on our storage."""
    storage = WindowStorage(clock.seconds)
    return SlidingWindowCounterRateLimiter(storage), storage


def test_a_window_slides(clock: Clock) -> None:
    """Requests of the window before count by the part of it that is less than one length ago."""
    limiter, _ = sliding(clock)
    four = RateLimitItemPerSecond(4, LENGTH)
    assert [True] * 4 + [False] == [limiter.hit(four, "a") for _ in range(5)]
    clock.advance(LENGTH)
    assert not limiter.hit(four, "a")
    clock.advance(LENGTH / 4 - 0.01)

    assert [True, False] == [limiter.hit(four, "a") for _ in range(2)]
    assert limiter.hit(four, "b")
    clock.advance(2 * LENGTH)
    assert [True] * 4 + [False] == [limiter.hit(four, "a") for _ in range(5)]


def test_what_is_over_is_forgotten(clock: Clock) -> None:
    """However many clients there were, only those of two windows are held; and no thread is started for it."""
    limiter, storage = sliding(clock)
    threads = active_count()
    item = RateLimitItemPerSecond(1, LENGTH)
    for window in range(5):
        for client in range(100):
            limiter.hit(item, f"{window}-{client}")
        assert len(storage) <= 200
        clock.advance(LENGTH)
    clock.advance(LENGTH)
    assert limiter.hit(item, "last")

    assert (1, threads) == (len(storage), active_count())


def test_time_that_is_set_back(clock: Clock) -> None:
    """When the system's time goes back, nobody is locked out until it has come there again."""
    clock.advance(1000)
    limiter, _ = sliding(clock)
    item = RateLimitItemPerSecond(1, LENGTH)
    limiter.hit(item, "a")
    clock.rightNow = 500.0

    assert [True, False] == [limiter.hit(item, "a") for _ in range(2)]


def test_the_rest_of_the_interface(clock: Clock) -> None:
    """The storage also serves fixed windows, and forgets what it is told to forget."""
    storage = WindowStorage(clock.seconds)
    fixed, item = FixedWindowRateLimiter(storage), RateLimitItemPerSecond(2, LENGTH)
    assert [True, True, False] == [fixed.hit(item, "a") for _ in range(3)]
    assert not fixed.test(item, "a")
    assert (10, 0) == fixed.get_window_stats(item, "a")
    fixed.clear(item, "a")
    assert fixed.hit(item, "a")
    limiter = SlidingWindowCounterRateLimiter(storage)
    limiter.clear(item, "a")
    assert storage.check()
    assert (0, 0.0) == (storage.get(item.key_for("a")), storage.get_expiry(item.key_for("a")))
    fixed.hit(item, "b")
    assert (1, 0) == (storage.reset(), len(storage))


@given(st.lists(st.tuples(st.integers(0, 25), st.floats(0, 15)), max_size=30), st.integers(1, 20))
def test_a_client_that_waits_is_served(bursts: list[tuple[int, float]], limit: int) -> None:
    """Whoever has no room left has it just after the time that is told, and not a moment before; zero means now."""
    clock = Clock()
    limiter, storage = sliding(clock)
    item = RateLimitItemPerSecond(limit, LENGTH)
    for requests, pause in bursts:
        for _ in range(requests):
            limiter.hit(item, "a")
        clock.advance(pause)

    def look() -> WindowCount:
        return WindowCount(LENGTH, *storage.get_sliding_window(item.key_for("a"), LENGTH))

    standing, wait = look().standing(limit), look().wait(limit)
    assert (standing.remaining > 0) == limiter.test(item, "a")
    assert 0 <= wait <= LENGTH
    if standing.remaining == 0 and wait > 0.01:
        clock.advance(wait - 0.005)
        assert not limiter.test(item, "a")
        clock.advance(0.01)
    elif standing.remaining == 0:
        clock.advance(wait + 0.001)
    assert limiter.test(item, "a")
    clock.advance(standing.reset + 0.001)  # floats
    assert Standing(limit, limit, 0.0) == look().standing(limit)
