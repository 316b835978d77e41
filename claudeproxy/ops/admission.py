"""
The limits at work: who is let in, and how many at the same time.

:meth:`Admission.admit` is asked once per request and either raises, with nothing counted, or gives a :class:`Ticket`.
The ticket is the only way to give a place back, and only its first :meth:`Ticket.release` does: no request can free
a place that it never had, or free one twice.
"""

from __future__ import annotations

from math import ceil, floor
from typing import NoReturn

from attrs import define, frozen
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter
from twisted.internet.interfaces import IReactorTime

from claudeproxy.config import LimitsConfig
from claudeproxy.core.limits import Standing, WindowCount
from claudeproxy.errors import ConcurrencyLimitExceeded, RateLimited
from claudeproxy.ops.windows import WindowStorage

__all__ = ["Admission", "Ticket"]

_SOON = 1.0
"""Seconds to wait for one of the key's own requests to end; when it will, nobody knows."""


@define(eq=False)
class Ticket:
    """
    The place of one request among its key's.
    """

    standing: Standing | None
    """How near the rate limits are; None where there are none."""
    _key_id: str
    _admission: Admission | None

    def release(self) -> None:
        """
        Give the place back. Harmless when said twice.
        """
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._release(self._key_id)


class Admission:
    """
    Counts requests by address, by session and by key. It belongs to the reactor's thread, so nothing comes between a
    look at a count and its change.
    """

    def __init__(self, clock: IReactorTime, limits: LimitsConfig) -> None:
        self.running: dict[str, int] = {}
        """Requests that were let in and are not over, by key id; a key that has none is not in it."""
        self._max_running = limits.max_concurrent_per_key
        self._storage = WindowStorage(clock.seconds)
        limiter = SlidingWindowCounterRateLimiter(self._storage)
        window = ceil(limits.rate_limit_window)

        def rate(limit: int, of: str) -> _Rate | None:
            return _Rate(limiter, self._storage, RateLimitItemPerSecond(limit, window, of), of) if limit else None

        self._per_address = rate(limits.rate_limit_per_ip, "address")
        self._per_session = rate(limits.rate_limit_per_session, "session")

    def admit(self, key_id: str, address: str, session_id: str | None = None) -> Ticket:
        """
        Let a request in.

        :param address: the client's.
        :param session_id: the session that the request names, if any.
        :raises ConcurrencyLimitExceeded: the key has too many requests running.
        :raises RateLimited: the address, or the session, had too many requests.
        """
        running = self.running.get(key_id, 0)
        if 0 < self._max_running <= running:
            raise ConcurrencyLimitExceeded(
                f"There are {running} requests of this key running, and no more are allowed at the same time.",
                retry_after=_SOON,
            )
        counts = self._counts(key_id, address, session_id)
        # The first refuses as it counts; the others are asked before, so that whom one refuses no other has counted.
        for rate, whom in counts[1:]:
            rate.check(whom)
        for rate, whom in counts:
            rate.count(whom)
        self.running[key_id] = running + 1
        return Ticket(_nearest(counts), key_id, self)

    def standing(self, key_id: str, address: str, session_id: str | None = None) -> Standing | None:
        """
        Return how near the rate limits are to a request that was not let in, counting nothing.
        """
        return _nearest(self._counts(key_id, address, session_id))

    def _counts(self, key_id: str, address: str, session_id: str | None) -> list[tuple[_Rate, str]]:
        """
        Return the rates that a request counts in, and the name that it has in each.
        """
        counts = []
        if self._per_address is not None:
            counts.append((self._per_address, address))
        if self._per_session is not None and session_id is not None:
            # One key's requests must not use up what another's session may have.
            counts.append((self._per_session, f"{key_id}/{session_id}"))
        return counts

    def _release(self, key_id: str) -> None:
        left = self.running[key_id] - 1
        if left:
            self.running[key_id] = left
        else:
            del self.running[key_id]


@frozen
class _Rate:
    """
    One rate limit.
    """

    _limiter: SlidingWindowCounterRateLimiter
    _storage: WindowStorage
    _item: RateLimitItem
    _of: str
    """Whose requests are counted, for people."""

    def check(self, whom: str) -> None:
        """
        Turn away whoever has no room left.
        """
        if not self._limiter.test(self._item, whom):
            self._refuse(whom)

    def count(self, whom: str) -> None:
        """
        Count a request, or turn it away.
        """
        if not self._limiter.hit(self._item, whom):
            self._refuse(whom)

    def standing(self, whom: str) -> Standing:
        """
        Return what is left.
        """
        return self._look(whom).standing(self._item.amount)

    def _refuse(self, whom: str) -> NoReturn:
        limit, seconds = self._item.amount, self._item.get_expiry()
        raise RateLimited(
            f"Too many requests of this {self._of}: {limit} are allowed in {seconds} seconds.",
            retry_after=floor(self._look(whom).wait(limit)) + 1,
        )

    def _look(self, whom: str) -> WindowCount:
        # The limiter's own statistics are in the system's time.
        length = self._item.get_expiry()
        return WindowCount(length, *self._storage.get_sliding_window(self._item.key_for(whom), length))


def _nearest(counts: list[tuple[_Rate, str]]) -> Standing | None:
    """
    Return the standing with the limit that has the least left.
    """
    standings = [rate.standing(whom) for rate, whom in counts]
    return min(standings, key=lambda standing: standing.remaining) if standings else None
