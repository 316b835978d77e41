"""
How long a request may wait, and how long it may take.

The first is a bound of each silence: a response that makes progress may last. The second is a bound of the whole, and
only there where an operator sets one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from claudeproxy.errors import UpstreamTimeout

__all__ = ["IdleTimer", "TimeLimits"]

T = TypeVar("T")

_GRAIN = 0.001
"""Seconds that nobody waits for: what is left below them may be an error of rounding."""


@frozen
class TimeLimits:
    """
    The limits of a request, in seconds.
    """

    idle: float
    """``REQUEST_TIMEOUT_MS``: for the wait for the first byte, and for each silence after it."""
    total: float = 0.0
    """``REQUEST_TOTAL_TIMEOUT_MS``: for the request as a whole; 0 is none."""


class IdleTimer:
    """
    Ends work that makes no progress, or that takes too long in all.

    :meth:`touch` is for the hot path, once per event: it notes the time and schedules nothing. One delayed call looks
    how long ago that was, and is set anew for what is left.
    """

    def __init__(self, clock: IReactorTime, limits: TimeLimits, begun: Callable[[], bool] | None = None) -> None:
        """
        Both limits count from now.

        :param begun: asked when the idle limit is reached; true when the first byte was there, and the silences after
            it are watched elsewhere.
        """
        self._clock = clock
        self._limits = limits
        self._begun = begun
        self._started = self._last = clock.seconds()
        self._call: IDelayedCall | None = None
        self._ran_out = ""

    def touch(self) -> None:
        """
        There is progress.
        """
        self._last = self._clock.seconds()

    def bound(self, work: Deferred[T], what: str) -> Deferred[T]:
        """
        Watch some work until it is over. When a limit is reached it is cancelled, and what is returned fails with
        :class:`~claudeproxy.errors.UpstreamTimeout`.

        :param what: what the error's message begins with: who made no progress, or took too long.
        """

        def over(result: T) -> T:
            call, self._call = self._call, None
            if call is not None:
                call.cancel()
            if self._ran_out:
                raise UpstreamTimeout(f"{what} {self._ran_out} and was stopped.")
            return result

        if not work.called:
            self._look(work)
        work.addBoth(over)
        return work

    def _look(self, work: Deferred[T]) -> None:
        self._call = None
        now, idle, total = self._clock.seconds(), self._limits.idle, self._limits.total
        if now < self._last:
            # The clock was set back.
            self._last = now
        left = idle - (now - self._last)
        if left < _GRAIN and self._begun is not None and self._begun():
            self._last, left = now, idle
        if total:
            whole = total - (now - self._started)
            if whole < _GRAIN:
                self._ran_out = f"took longer than {total:g} s"
            left = min(left, whole)
        if left < _GRAIN:
            self._ran_out = self._ran_out or f"made no progress for {idle:g} s"
            work.cancel()
        else:
            self._call = self._clock.callLater(left, self._look, work)
