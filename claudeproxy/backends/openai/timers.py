"""
The timers of one exchange with an upstream.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["CLIENT", "Watch"]

CLIENT = "client"
"""The name of the phase in which the client does not read."""

_GRAIN = 0.001
"""Seconds that nobody waits for: what is left below them may be an error of rounding."""


class Watch:
    """
    Keeps an exchange's deadlines with one delayed call.

    The exchange is always in one phase (waiting for the first byte, silence between bytes, ...). Over the phases stands
    a limit for the wait until a response begins, all tries together, and a total limit where there is one. Nothing is
    scheduled per byte or per phase: the call comes after the shortest of all limits, asks the phase how long it has
    been idle, and is set anew for what is left, but never for longer than the shortest limit. So whatever phase begins
    between two calls, its deadline is not before the second.
    """

    def __init__(self, clock: IReactorTime, request: float, shortest: float, total: float = inf) -> None:
        """
        :param request: seconds from now until a response must have begun that goes to the client.
        :param shortest: the shortest of the limits that phases will have.
        :param total: seconds from now until the exchange must be over.
        """
        self.expired: str | None = None
        """The name of the timer that ran out, and None until one does."""
        self.limit = 0.0
        """The seconds that this timer allowed."""
        self._clock = clock
        self._shortest = min(shortest, request)
        self._entered = self._started = clock.seconds()
        self._total = total
        self._whole, self._whole_name = (request, "request") if request < total else (total, "total")
        self._name = self._whole_name
        self._phase_limit = self._whole
        self._idle: Callable[[], float] | None = None
        self._expire: Callable[[], object] = _nothing
        self._call: IDelayedCall | None = None

    def start(self, expire: Callable[[], object]) -> None:
        """
        Have ``expire`` called once when a timer runs out, unless the exchange is over before.
        """
        self._expire = expire
        self._arm(self._shortest)

    def phase(self, name: str, limit: float, idle: Callable[[], float] | None = None) -> None:
        """
        Enter a phase.

        :param name: what the timer is called in the error.
        :param limit: seconds of idleness that are allowed, not fewer than the shortest.
        :param idle: returns the seconds since the last sign of life; without it they count from now.
        """
        self._name, self._phase_limit, self._idle = name, limit, idle
        if idle is None:
            self._entered = self._clock.seconds()

    def left(self) -> float:
        """
        The seconds that are left of the limit that stands over the phases.
        """
        return self._whole - (self._clock.seconds() - self._started)

    def begun(self) -> None:
        """
        A response begins to go to the client: from now on only the total limit stands over the phases.
        """
        self._whole, self._whole_name = self._total, "total"

    def rest(self) -> None:
        """
        Nothing is waited for: only the limit that stands over the phases counts until the next one.
        """
        self.phase(self._whole_name, self._whole)

    def stop(self) -> None:
        """
        The exchange is over. Harmless when said twice.
        """
        self._expire, self._idle = _nothing, None
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _arm(self, seconds: float) -> None:
        self._call = self._clock.callLater(max(0.0, min(seconds, self._shortest, self.left())), self._check)

    def _check(self) -> None:
        self._call = None
        now = self._clock.seconds()
        remaining = self._phase_limit - (now - self._entered if self._idle is None else self._idle())
        if self.left() <= 0:
            self._run_out(self._whole_name, self._whole)
        elif remaining < _GRAIN:
            self._run_out(self._name, self._phase_limit)
        else:
            self._arm(remaining)

    def _run_out(self, name: str, limit: float) -> None:
        self.expired, self.limit = name, limit
        expire = self._expire
        self.stop()
        expire()


def _nothing() -> None:
    """
    Before the start and after the end nobody is told.
    """
