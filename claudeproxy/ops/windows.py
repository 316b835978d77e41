"""
The counters of the rate limits, in memory and on a clock of our own.

The storage that comes with ``limits`` reads the system's time and sweeps with a thread a hundred times a second; this
one is as simple because requests are counted by one thread, the reactor's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from attrs import define, field
from limits.storage.base import SlidingWindowCounterSupport, Storage

__all__ = ["WindowStorage"]


@define
class _Windows:
    """
    Two windows of one length, one after the other.

    What is older is let go with the whole of its window, so that nothing has to be searched for what has expired.
    """

    length: int
    number: int = -1
    """Of the current window, counted from the epoch."""
    previous: dict[str, int] = field(factory=dict)
    current: dict[str, int] = field(factory=dict)

    def turn(self, now: float) -> None:
        """
        Let go of what lies too far back; also of what lies ahead, when the system's time was set back.
        """
        number = int(now // self.length)
        if number != self.number:
            self.previous = self.current if number == self.number + 1 else {}
            self.current = {}
            self.number = number

    def look(self, key: str, now: float) -> tuple[int, float, int, float]:
        """
        Return what ``SlidingWindowCounterSupport.get_sliding_window`` does.
        """
        self.turn(now)
        previous = self.previous.get(key, 0)
        left = (self.number + 1) * self.length - now
        return previous, left if previous else 0.0, self.current.get(key, 0), left + self.length


class WindowStorage(Storage, SlidingWindowCounterSupport):
    """
    A storage for the strategies of ``limits`` that count in windows, fixed or sliding.

    It holds the clients of two windows and no more.
    """

    STORAGE_SCHEME = None

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        :param seconds: returns the seconds since the epoch.
        """
        super().__init__()
        self._seconds = seconds
        self._by_length: dict[int, _Windows] = {}

    def __len__(self) -> int:
        return sum(len(windows.previous) + len(windows.current) for windows in self._by_length.values())

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """
        Memory has no failures to be wrapped.
        """
        return ()

    # -- Sliding windows ------------------------------------------------------

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """
        Count ``amount`` if there is room for it, and return whether there was.
        """
        windows = self._windows(expiry)
        previous, left, current, _ = windows.look(key, self._seconds())
        if floor(previous * left / expiry + current) + amount > limit:
            return False
        windows.current[key] = current + amount
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """
        Return the count of the previous window and the seconds until it counts nothing, and the same of the current.
        """
        return self._windows(expiry).look(key, self._seconds())

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """
        Forget what was counted.
        """
        self.clear(key)

    # -- Fixed windows --------------------------------------------------------

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """
        Count ``amount``, and return the current window's count.
        """
        windows = self._windows(expiry)
        windows.turn(self._seconds())
        count = windows.current[key] = windows.current.get(key, 0) + amount
        return count

    def get(self, key: str) -> int:
        """
        Return the current window's count.
        """
        windows = self._holding(key)
        return 0 if windows is None else windows.current[key]

    def get_expiry(self, key: str) -> float:
        """
        Return when the current window ends, in seconds since the epoch; now, when nothing is counted.
        """
        windows = self._holding(key)
        return self._seconds() if windows is None else float((windows.number + 1) * windows.length)

    def clear(self, key: str) -> None:
        """
        Forget what was counted.
        """
        for windows in self._by_length.values():
            windows.previous.pop(key, None)
            windows.current.pop(key, None)

    # -- The whole ------------------------------------------------------------

    def check(self) -> bool:
        """
        Memory is always there.
        """
        return True

    def reset(self) -> int:
        """
        Forget everything, and return how many counts that were.
        """
        count = len(self)
        self._by_length.clear()
        return count

    def _windows(self, length: int) -> _Windows:
        windows = self._by_length.get(length)
        if windows is None:
            windows = self._by_length[length] = _Windows(length)
        return windows

    def _holding(self, key: str) -> _Windows | None:
        now = self._seconds()
        for windows in self._by_length.values():
            windows.turn(now)
            if key in windows.current:
                return windows
        return None
