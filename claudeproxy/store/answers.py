"""
The answers that are kept for the repeats of their requests, in memory.

A key is a tenant's own: another's same key is another one. It is *running* while its first request is, then it has
an answer, and when there is none to keep it is free again.
"""

from __future__ import annotations

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.idempotency import KeptAnswer
from claudeproxy.errors import IdempotencyKeyInUse, IdempotencyKeyReused

__all__ = ["AnswerStore", "Run"]

_LARGEST = 8
"""What part of all memory one answer may take: one over this number."""
_SOON = 1.0
"""Seconds to wait for the end of the first request; when it will come, nobody knows."""


@define(eq=False)
class Run:
    """
    A request that has its key for itself until it is over, and the body of its answer as far as it has come.
    """

    _store: AnswerStore
    tenant: str
    key: bytes
    fingerprint: bytes
    _body: bytearray = field(init=False, factory=bytearray)
    _fits: bool = field(init=False, default=True)

    @property
    def body(self) -> bytes | None:
        """
        What was recorded; None when that was too much.
        """
        return bytes(self._body) if self._fits else None

    def record(self, data: bytes) -> None:
        """
        Add a piece of the answer's body.
        """
        if not self._fits:
            return
        if self._store._take(self, len(self._body), len(data)):
            self._body += data
        else:
            self._stop()

    def keep(self, answer: KeptAnswer) -> bool:
        """
        The request is over, and this is its answer. Return whether there was room for it; if not, the key is free.
        """
        self._stop()
        return self._store._over(self, answer)

    def release(self) -> None:
        """
        The request is over. Unless there is an answer now, the key is free. Harmless when said twice.
        """
        self._stop()
        self._store._over(self, None)

    def _stop(self) -> None:
        self._fits = False
        self._store._give_back(self, len(self._body))
        self._body = bytearray()


@frozen(eq=False)
class _Entry:
    """
    A kept answer.
    """

    answer: KeptAnswer
    fingerprint: bytes
    since: float
    size: int


@define(eq=False)
class _Shelf:
    """
    What one tenant has.
    """

    running: dict[bytes, Run] = field(init=False, factory=dict)
    kept: dict[bytes, _Entry] = field(init=False, factory=dict)
    """The oldest first."""
    bytes: int = field(init=False, default=0)
    """Of all that is kept and recorded."""


class AnswerStore:
    """
    Answers by tenant and key, bounded in time and in bytes; what is still being recorded counts too.

    When there is no room, whoever has most loses the oldest answer, so that nobody can push out the answers of the
    others. No timer runs: what has expired goes when the next request with a key comes.
    """

    def __init__(self, clock: IReactorTime, ttl: float, max_bytes: int) -> None:
        """
        :param ttl: seconds that an answer is kept.
        """
        self.bytes = 0
        """Of all that is kept and recorded."""
        self._clock = clock
        self._ttl = ttl
        self.max_bytes = max_bytes
        self._shelves: dict[str, _Shelf] = {}

    def __len__(self) -> int:
        return sum(len(shelf.kept) for shelf in self._shelves.values())

    @property
    def running(self) -> int:
        """
        How many keys are taken by requests that are not over.
        """
        return sum(len(shelf.running) for shelf in self._shelves.values())

    def claim(self, tenant: str, key: bytes, fingerprint: bytes) -> KeptAnswer | Run:
        """
        Return the answer that is kept for a request, or else take its key for it.

        :param fingerprint: what the request is told from others by.
        :raises IdempotencyKeyReused: the key belongs to another request.
        :raises IdempotencyKeyInUse: the same request is running.
        """
        self._forget_expired()
        shelf = self._shelves.get(tenant, _Shelf())
        known = shelf.running.get(key) or shelf.kept.get(key)
        if known is None or (isinstance(known, _Entry) and self._has_expired(known)):
            run = shelf.running[key] = Run(self, tenant, key, fingerprint)
            self._shelves[tenant] = shelf
            if known is not None:
                self._forget(tenant, shelf, key)
            return run
        if known.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                "This Idempotency-Key belongs to another request: one with another body, or with other headers that "
                "choose the backend, the session or the credentials. A new request needs a new key.",
                param="Idempotency-Key",
            )
        if isinstance(known, Run):
            raise IdempotencyKeyInUse(
                "A request with this Idempotency-Key is still running. Its answer can be had under the same key when "
                "it is over.",
                param="Idempotency-Key",
                retry_after=_SOON,
            )
        return known.answer

    # -- For a run ------------------------------------------------------------

    def _take(self, run: Run, recorded: int, more: int) -> bool:
        """
        Take ``more`` bytes for what a run records, and return whether there was room.
        """
        if recorded + more > self.max_bytes // _LARGEST or not self._make_room(more):
            return False
        self._shelves[run.tenant].bytes += more
        self.bytes += more
        return True

    def _give_back(self, run: Run, recorded: int) -> None:
        if recorded:
            self._shelves[run.tenant].bytes -= recorded
            self.bytes -= recorded

    def _over(self, run: Run, answer: KeptAnswer | None) -> bool:
        """
        Take a run's key from it, and return whether there is an answer in its place.
        """
        shelf = self._shelves.get(run.tenant)
        if shelf is None or shelf.running.get(run.key) is not run:
            return False
        fits = answer is not None and answer.size <= self.max_bytes // _LARGEST and self._make_room(answer.size)
        if answer is not None and fits:
            shelf.kept[run.key] = _Entry(answer, run.fingerprint, self._clock.seconds(), answer.size)
            shelf.bytes += answer.size
            self.bytes += answer.size
        del shelf.running[run.key]
        self._tidy(run.tenant, shelf)
        return fits

    # -- Room -----------------------------------------------------------------

    def _make_room(self, size: int) -> bool:
        """
        Let go of answers until ``size`` bytes more fit, and return whether they do.
        """
        while self.bytes + size > self.max_bytes:
            holders = [item for item in self._shelves.items() if item[1].kept]
            if not holders:
                return False
            tenant, shelf = max(holders, key=lambda item: item[1].bytes)
            self._forget(tenant, shelf, next(iter(shelf.kept)))
        return True

    def _forget_expired(self) -> None:
        for tenant, shelf in list(self._shelves.items()):
            while shelf.kept:
                key, oldest = next(iter(shelf.kept.items()))
                if not self._has_expired(oldest):
                    break
                self._forget(tenant, shelf, key)

    def _has_expired(self, entry: _Entry) -> bool:
        # A clock that is set back leaves answers of the future; they do not live on until it has caught up.
        return abs(self._clock.seconds() - entry.since) >= self._ttl

    def _forget(self, tenant: str, shelf: _Shelf, key: bytes) -> None:
        entry = shelf.kept.pop(key)
        shelf.bytes -= entry.size
        self.bytes -= entry.size
        self._tidy(tenant, shelf)

    def _tidy(self, tenant: str, shelf: _Shelf) -> None:
        if not (shelf.kept or shelf.running):
            del self._shelves[tenant]
