"""
The limits at work: who is let in, and how many at the same time.

:meth:`Admission.admit` is asked once per request and either raises, with nothing counted, or gives a :class:`Ticket`.
The ticket is the only way to give a place back, and only its first :meth:`Ticket.release` does: no request can free
a place that it never had, or free one twice.
"""

from __future__ import annotations

from math import ceil, floor
from typing import NoReturn

from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter
from twisted.internet.interfaces import IReactorTime

from claudeproxy.config import LimitsConfig
from claudeproxy.core.limits import Standing, WindowCount
from claudeproxy.errors import ConcurrencyLimitExceeded, RateLimited
from claudeproxy.ops.windows import WindowStorage

__all__ = ["Admission", "Ticket"]

_SOON = 1.0
"""Seconds to wait for one of the key's own requests to end; when it will, nobody knows."""


class Ticket:
    """
    The place of one request among its key's.
    """

    __slots__ = ("_admission", "_key_id", "standing")

    def __init__(self, admission: Admission, key_id: str, standing: Standing | None) -> None:
        """
        :param standing: how near the rate limits are; None where there are none.
        """
        self.standing = standing
        self._key_id = key_id
        self._admission: Admission | None = admission

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
        self._storage = WindowStorage(clock.seconds)
        self._window = 0
        self.use(limits)

    def use(self, limits: LimitsConfig) -> None:
        """
        Go by these limits from now on.

        Requests that were let in are still counted until they are over. Those of the window are, as long as windows
        stay as long as they were.
        """
        window = ceil(limits.rate_limit_window)
        per_address, per_key = limits.rate_limit_per_ip, limits.rate_limit_per_key
        per_session = limits.rate_limit_per_session
        if window != self._window or not (per_address or per_key or per_session):
            self._storage.reset()
        self._window = window
        self._max_running = limits.max_concurrent_per_key
        self._per_address = _Rate(self._storage, per_address, window, "address") if per_address else None
        self._wrong_keys = _Rate(self._storage, per_address, window, "address with wrong keys") if per_address else None
        self._per_key = _Rate(self._storage, per_key, window, "key") if per_key else None
        self._per_session = _Rate(self._storage, per_session, window, "session") if per_session else None

    def admit(self, key_id: str, address: str, session_id: str | None = None) -> Ticket:
        """
        Let a request in.

        :param address: the client's.
        :param session_id: the session that the request names, if any.
        :raises ConcurrencyLimitExceeded: the key has too many requests running.
        :raises RateLimited: the address, the key or the session had too many requests.
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
        return Ticket(self, key_id, _nearest(counts))

    def turned_away(self, address: str) -> None:
        """
        Count a request that was refused for its key. Whoever tries keys has as many tries as others have requests, and
        takes none of theirs.

        :raises RateLimited: the address tried too many.
        """
        if self._wrong_keys is not None:
            self._wrong_keys.count(address)

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
        if self._per_key is not None:
            counts.append((self._per_key, key_id))
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


class _Limit(RateLimitItemPerSecond):
    """
    A limit of the library's, whose counters have shorter names.
    """

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """
        Return the name of a client's counter; the library's own has the limit in it, and takes longer to be made.
        """
        return f"{self.namespace}/{identifiers[0]!s}"


class _Rate:
    """
    One rate limit.
    """

    def __init__(self, storage: WindowStorage, limit: int, window: int, of: str) -> None:
        """
        :param window: seconds.
        :param of: whose requests are counted, for people.
        """
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._look = storage.get_sliding_window
        self._item = _Limit(limit, window, of)
        self._limit, self._window, self._of = limit, window, of

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
        return self._counted(whom).standing(self._limit)

    def _refuse(self, whom: str) -> NoReturn:
        raise RateLimited(
            f"Too many requests of this {self._of}: {self._limit} are allowed in {self._window} seconds.",
            retry_after=floor(self._counted(whom).wait(self._limit)) + 1,
        )

    def _counted(self, whom: str) -> WindowCount:
        # The limiter's own statistics are in the system's time.
        return WindowCount(self._window, *self._look(self._item.key_for(whom), self._window))


def _nearest(counts: list[tuple[_Rate, str]]) -> Standing | None:
    """
    Return the standing with the limit that has the least left.
    """
    nearest = None
    for rate, whom in counts:
        standing = rate.standing(whom)
        if nearest is None or standing.remaining < nearest.remaining:
            nearest = standing
    return nearest
