"""
The graceful end: from the moment the daemon shall stop to the moment nothing is in flight.

The order, which is the service's to keep: :meth:`Drain.begin`, stop listening, :meth:`Drain.stop`, then
:meth:`Drain.last_words` while the backends end.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.errors import ServerShuttingDown
from claudeproxy.interfaces import IReadiness

__all__ = ["Drain"]

T = TypeVar("T")


@implementer(IReadiness)
class Drain:
    """
    Counts requests in flight, and ends those that take too long to end by themselves.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.draining = False
        """Whether new requests are refused."""
        self.in_flight = 0
        """Requests whose answer is not yet complete."""
        self._clock = clock
        self._cutting = False
        self._work: set[Deferred[object]] = set()
        self._waiting: list[Deferred[None]] = []

    def unready_reasons(self) -> tuple[str, ...]:
        """
        See ``IReadiness``.
        """
        return ("shutting down",) if self.draining else ()

    def entered(self) -> None:
        """
        A request has arrived.
        """
        self.in_flight += 1

    def left(self) -> None:
        """
        A request that had :meth:`entered` is over: answered, or its client is gone.
        """
        self.in_flight -= 1
        if self.in_flight == 0:
            self._tell()

    def track(self, work: Deferred[T]) -> Deferred[T]:
        """
        Make ``work``, which a request waits for, end when the drain's time is over; returns it.

        It then fails with ``ServerShuttingDown`` in the place of ``CancelledError``, so that the request can say why.
        """
        if not work.called:
            self._work.add(work)  # type: ignore[arg-type]
            work.addBoth(self._over, work)
        return work

    def begin(self) -> None:
        """
        Refuse new requests from now on, and be unready.
        """
        self.draining = True

    async def stop(self, timeout: float) -> None:
        """
        Wait until nothing is in flight, or nothing but requests that have only to tell their clients of their end.

        :param timeout: seconds after which what is left is cut short.
        """
        self.begin()
        if self.in_flight:
            self._log.info(
                "Stopping; {count} requests in flight may take {timeout} s.", count=self.in_flight, timeout=timeout
            )
        if await self._quiet(timeout):
            return
        self._log.info("{count} requests in flight are cut short.", count=self.in_flight)
        self._cutting = True
        for work in tuple(self._work):
            work.cancel()

    async def last_words(self, timeout: float) -> None:
        """
        Wait until the requests that were cut short have told their clients, at most for so many seconds.
        """
        await self._quiet(timeout)

    async def _quiet(self, timeout: float) -> bool:
        """
        Wait until nothing is in flight, and return whether that came about within ``timeout`` seconds.
        """
        if self.in_flight == 0:
            return True
        quiet: Deferred[None] = Deferred()
        self._waiting.append(quiet)
        timer = self._clock.callLater(timeout, self._tell)
        try:
            await quiet
        finally:
            if timer.active():
                timer.cancel()
        return self.in_flight == 0

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _over(self, result: T | Failure, work: Deferred[T]) -> T | Failure:
        self._work.discard(work)
        if self._cutting and isinstance(result, Failure) and result.check(CancelledError):
            return Failure(ServerShuttingDown("The server is shutting down.", retry_after=5))
        return result
