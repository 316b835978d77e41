"""
Pictures that are kept for a while.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.backends.images.cache import ImageCache
from claudeproxy.core.chat import Image


def image(size: int, letter: str = "A") -> Image:
    """A picture of so many characters in base64."""
    return Image("image/png", letter * size)


def test_a_picture_grows_old(clock: Clock) -> None:
    """It is there until its time is over, however often it is asked for, and in its last moment."""
    cache = ImageCache(clock, 100, 60)
    clock.advance(1000)
    cache.put("a", image(10))
    for _ in range(59):
        clock.advance(1)
        assert cache.get("a") == image(10)
    clock.advance(1)

    assert cache.get("a") is None
    assert cache.get("b") is None


def test_a_clock_that_is_set_back(clock: Clock) -> None:
    """No picture lives longer for it."""
    cache = ImageCache(clock, 100, 60)
    clock.advance(1000)
    cache.put("a", image(10))
    clock.rightNow = 10.0

    assert cache.get("a") is None


def test_who_was_not_asked_for_makes_room(clock: Clock) -> None:
    """The bound holds to the byte; what was asked for last stays."""
    cache = ImageCache(clock, 100, 60)
    for key in "abc":
        cache.put(key, image(30))
    cache.get("a")
    cache.put("d", image(40))
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]

    cache.put("e", image(101))
    assert [cache.get(key) is not None for key in "acde"] == [False] * 4
    cache.put("f", image(100))
    assert cache.get("f") is not None


def test_a_picture_that_changed(clock: Clock) -> None:
    """What was fetched last counts, once."""
    cache = ImageCache(clock, 100, 60)
    for letter in "ABC":
        cache.put("a", image(60, letter))

    assert cache.get("a") == image(60, "C")
    cache.put("b", image(40))
    assert cache.get("a") is not None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 120), st.integers(0, 40), st.booleans())))
def test_the_bound_holds_whatever_happens(steps: list[tuple[str, int, int, bool]]) -> None:
    """After any puts, gets and pauses the pictures that are there fit."""
    clock = Clock()
    cache = ImageCache(clock, 100, 60)
    for key, size, pause, puts in steps:
        clock.advance(pause)
        if puts:
            cache.put(key, image(size))
        else:
            cache.get(key)
    kept = [each for key in "abcdef" if (each := cache.get(key)) is not None]

    assert sum(len(each.data) for each in kept) <= 100
