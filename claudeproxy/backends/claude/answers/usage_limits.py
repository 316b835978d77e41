"""
The usage limits of the account that the CLI works with.

They are shown, and they say when a request that was refused may be sent again. They never keep a request from being
sent: there are limits for one model only, and an account may be given more at any time.
"""

from __future__ import annotations

from attrs import define, evolve, field
from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.health import UsageLimit

__all__ = ["UsageLimits"]

_ALLOWED = "allowed"
_REJECTED = "rejected"

_DAY = 24 * 3600.0
_LATEST = 366 * _DAY
"""Seconds ahead: no limit is reset later, and what seems to be (a time in milliseconds) is not understood."""


@define
class UsageLimits:
    """
    What the API said last of each limit, until it is reset. All processes of the account tell the same one.
    """

    _clock: IReactorTime
    _by_kind: dict[str, UsageLimit] = field(init=False, factory=dict)

    def now(self) -> float:
        """
        Return the time, in seconds since the epoch.
        """
        return self._clock.seconds()

    def note(self, limit: UsageLimit) -> None:
        """
        Take the news of one limit. Without a time it says nothing that lasts: the API is just busy.
        """
        if limit.status == _ALLOWED:
            self._by_kind.pop(limit.kind, None)
            return
        resets_at = self._plausible(limit.resets_at)
        if resets_at is not None:
            self._by_kind[limit.kind] = evolve(limit, resets_at=resets_at)

    def current(self) -> tuple[UsageLimit, ...]:
        """
        Return the limits that are near or reached.
        """
        now = self._clock.seconds()
        self._by_kind = {kind: limit for kind, limit in self._by_kind.items() if (limit.resets_at or now) > now}
        return tuple(self._by_kind.values())

    def resets_at(self) -> float | None:
        """
        Return when the last of the limits that are reached is reset, in seconds since the epoch; None if none is.
        """
        times = [limit.resets_at for limit in self.current() if limit.status == _REJECTED]
        return max((time for time in times if time is not None), default=None)

    def wait(self, resets_at: float | None) -> float | None:
        """
        Return the seconds until a refused request may be sent again; None when that is not known.

        :param resets_at: what the refusal itself said, in seconds since the epoch.
        """
        told = self._plausible(resets_at)
        until = told if told is not None else self.resets_at()
        left = None if until is None else until - self._clock.seconds()
        return left if left is not None and left > 0 else None

    def _plausible(self, time: float | None) -> float | None:
        """
        Return a time from a day ago, for clocks differ, to a year ahead; None for any other.
        """
        if time is None or not -_DAY <= time - self._clock.seconds() <= _LATEST:
            return None
        return time
