"""
The circuit breaker: who fails again and again is not asked for a while.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Breaker", "BreakerState"]


class BreakerState(StrEnum):
    """
    The states, by the names that the health page gives them.
    """

    CLOSED = "closed"
    """Everyone is let in."""
    OPEN = "open"
    """Nobody is, until the pause is over."""
    HALF_OPEN = "half_open"
    """The pause is over; one may try, and how it fares decides."""


class Breaker:
    """
    Opens after so many failures in a row, and lets one visitor try again when the pause is over.

    Whoever is let in hands the visit back, once, with how it ended. A visit from before the last change of state says
    nothing about the present one and does not count: what was sent before the breaker opened neither closes it nor
    keeps it open.

    It reads no clock. Should the time that it is told go back, the pause begins anew, and is never longer than it is.
    """

    def __init__(self, limit: int, pause: float) -> None:
        """
        :param limit: failures in a row that open it; with 0 it never opens.
        :param pause: seconds for which it then stays open.
        """
        self.failures = 0
        """Failures since the last success."""
        self._limit = limit
        self._pause = pause
        self._opened: float | None = None
        self._probing = False
        self._era = 0

    def state(self, now: float) -> BreakerState:
        """
        Return the state at ``now``, in seconds.
        """
        if self._opened is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.left(now) > 0 else BreakerState.HALF_OPEN

    def left(self, now: float) -> float:
        """
        Return the seconds that are left of the pause.
        """
        if self._opened is None:
            return 0.0
        self._opened = min(self._opened, now)
        return max(0.0, self._opened + self._pause - now)

    def admit(self, now: float) -> int | None:
        """
        Return a visit, or None when nobody is let in.
        """
        if self._opened is None:
            return self._era
        if self._probing or self.left(now) > 0:
            return None
        self._probing = True
        self._era += 1
        return self._era

    def succeeded(self, visit: int) -> bool:
        """
        Who was visited is well. Return whether this closes the breaker.
        """
        if visit != self._era:
            return False
        self.failures = 0
        if self._opened is None:
            return False
        self._change(None)
        return True

    def failed(self, visit: int, now: float) -> bool:
        """
        Who was visited is not well. Return whether this opens the breaker, for the first time or again.
        """
        if visit != self._era:
            return False
        self.failures += 1
        if not self._probing and self.failures != self._limit:
            return False
        self._change(now)
        return True

    def gave_up(self, visit: int) -> None:
        """
        The visitor left before anything was known; if it was the one that tries, another may.
        """
        if self._probing and visit == self._era:
            self._probing = False

    def _change(self, opened: float | None) -> None:
        self._opened = opened
        self._probing = False
        self._era += 1
