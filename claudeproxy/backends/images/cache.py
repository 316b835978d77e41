"""
Pictures that were fetched lately.

A client that sends its whole conversation each time sends its links each time. With the same bytes behind them it is
the same conversation, which is recognised; and whoever serves the picture is asked once, not with every turn. What that
server says of its own about keeping is not looked at, for that reason.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.chat import Image

__all__ = ["ImageCache"]


class ImageCache:
    """
    Pictures for a while, bounded in memory; those that were not asked for the longest make room.
    """

    def __init__(self, clock: IReactorTime, max_bytes: int, max_age: float) -> None:
        """
        :param max_bytes: characters of base64 that all of them have together at most.
        :param max_age: seconds after which a picture is fetched anew.
        """
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._kept: OrderedDict[Hashable, tuple[float, Image]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Image | None:
        """
        Return the picture, if it is there and not too old.
        """
        since, image = self._kept.get(key, (0.0, None))
        # A clock that was set back makes no picture last for ever.
        if image is None or not 0 <= self._clock.seconds() - since < self._max_age:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return image

    def put(self, key: Hashable, image: Image) -> None:
        """
        Keep a picture.
        """
        self._drop(key)
        self._kept[key] = self._clock.seconds(), image
        self._bytes += len(image.data)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        _, image = self._kept.pop(key, (0.0, None))
        if image is not None:
            self._bytes -= len(image.data)
