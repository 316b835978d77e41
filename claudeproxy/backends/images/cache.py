"""
Pictures that were fetched lately.

A client that sends its whole conversation each time sends its links each time. With the same bytes behind them it is
the same conversation, which is recognised; and whoever serves the picture is asked once, not with every turn. What that
server says of its own about keeping is not looked at, for that reason.
"""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.chat import Image

__all__ = ["ImageCache"]

_ENTRY_BYTES = 500
"""About what Python needs for an entry: its key, both tables' places, the objects around the strings."""


class ImageCache:
    """
    Pictures for a while, bounded in memory; those that were not asked for the longest make room.
    """

    def __init__(self, clock: IReactorTime, max_bytes: int, max_age: float) -> None:
        """
        :param max_bytes: bytes that all of them take at most: what they are kept by and the places for them count as
            well, or small pictures with long names could fill the memory.
        :param max_age: seconds after which a picture is fetched anew.
        """
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._kept: OrderedDict[tuple[str, ...], Image] = OrderedDict()
        """What was asked for last is last."""
        self._since: OrderedDict[tuple[str, ...], float] = OrderedDict()
        """What was put last is last."""
        self._bytes = 0

    def get(self, key: tuple[str, ...]) -> Image | None:
        """
        Return the picture, if it is there and not too old.
        """
        image = self._kept.get(key)
        if image is None:
            return None
        if self._is_old(key):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return image

    def put(self, key: tuple[str, ...], image: Image) -> None:
        """
        Keep a picture, and let go of those that are too old: nobody may ask for them again.
        """
        self._drop(key)
        while self._since and self._is_old(oldest := next(iter(self._since))):
            self._drop(oldest)
        self._kept[key] = image
        self._since[key] = self._clock.seconds()
        self._bytes += _size(key, image)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _is_old(self, key: tuple[str, ...]) -> bool:
        # A clock that was set back makes no picture last for ever.
        return not 0 <= self._clock.seconds() - self._since[key] < self._max_age

    def _drop(self, key: tuple[str, ...]) -> None:
        image = self._kept.pop(key, None)
        if image is not None:
            del self._since[key]
            self._bytes -= _size(key, image)


def _size(key: tuple[str, ...], image: Image) -> int:
    return _ENTRY_BYTES + sum(map(len, key)) + len(image.data)
