"""
Pictures that are kept for a while.
"""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.backends.images.cache import ImageCache
from claudeproxy.core.chat import Image

ENTRY = 501
"""What a picture takes beside its data: some 500 bytes, and its key of one letter."""


def image(size: int, letter: str = "A") -> Image:
    """A picture that takes so many bytes in all."""
    return Image("image/png", letter * (size - ENTRY))


def test_a_picture_grows_old(clock: Clock) -> None:
    """It is there until its time is over, however often it is asked for, and in its last moment."""
    cache = ImageCache(clock, 10000, 60)
    clock.advance(1000)
    cache.put(("a",), image(1000))
    for _ in range(59):
        clock.advance(1)
        assert cache.get(("a",)) == image(1000)
    clock.advance(1)

    assert cache.get(("a",)) is None
    assert cache.get(("b",)) is None


def test_a_clock_that_is_set_back(clock: Clock) -> None:
    """No picture lives longer for it."""
    cache = ImageCache(clock, 10000, 60)
    clock.advance(1000)
    cache.put(("a",), image(1000))
    clock.rightNow = 10.0

    assert cache.get(("a",)) is None


def test_who_was_not_asked_for_makes_room(clock: Clock) -> None:
    """The bound holds to the byte; what was asked for last stays."""
    cache = ImageCache(clock, 10000, 60)
    for key in "abc":
        cache.put((key,), image(3000))
    cache.get(("a",))
    cache.put(("d",), image(4000))
    assert [cache.get((key,)) is not None for key in "abcd"] == [True, False, True, True]

    cache.put(("e",), image(10001))
    assert [cache.get((key,)) is not None for key in "acde"] == [False] * 4
    cache.put(("f",), image(10000))
    assert cache.get(("f",)) is not None


def test_a_picture_that_changed(clock: Clock) -> None:
    """What was fetched last counts, once."""
    cache = ImageCache(clock, 10000, 60)
    for letter in "ABC":
        cache.put(("a",), image(6000, letter))

    assert cache.get(("a",)) == image(6000, "C")
    cache.put(("b",), image(4000))
    assert cache.get(("a",)) is not None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(ENTRY, 12000), st.integers(0, 40), st.booleans())))
def test_the_bound_holds_whatever_happens(steps: list[tuple[str, int, int, bool]]) -> None:
    """After any puts, gets and pauses the pictures that are there fit."""
    clock = Clock()
    cache = ImageCache(clock, 10000, 60)
    for key, size, pause, puts in steps:
        clock.advance(pause)
        if puts:
            cache.put((key,), image(size))
        else:
            cache.get((key,))
    kept = [each for key in "abcdef" if (each := cache.get((key,))) is not None]

    assert sum(ENTRY + len(each.data) for each in kept) <= 10000


def test_small_pictures_with_long_names(clock: Clock) -> None:
    """What they are kept by counts, and so does the place for an empty one of a short name."""
    cache = ImageCache(clock, 10000, 60)
    keys = [("tenant", letter * 1000) for letter in "abcdefg"]
    for key in keys:
        cache.put(key, Image("image/png", ""))
    assert [cache.get(key) is not None for key in keys] == [False] + [True] * 6

    keys = [(letter,) for letter in "abcdefghijklmnopqrstuvwxyz"]
    for key in keys:
        cache.put(key, Image("image/png", ""))
    assert [cache.get(key) is not None for key in keys] == [False] * 7 + [True] * 19


def test_old_pictures_do_not_wait_to_be_asked_for(clock: Clock) -> None:
    """The next one that is kept frees their memory, whichever was asked for last."""
    cache = ImageCache(clock, 10000, 60)
    old, last = image(1000), image(1000, "B")
    gone = weakref.ref(old), weakref.ref(last)
    cache.put(("a",), old)
    cache.put(("b",), last)
    clock.advance(30)
    cache.put(("c",), image(1000))
    cache.get(("a",))
    del old, last
    clock.advance(30)
    cache.put(("d",), image(1000))

    assert [each() for each in gone] == [None, None]
    assert [cache.get((key,)) is not None for key in "cd"] == [True, True]
