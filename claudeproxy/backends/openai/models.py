"""
The upstream's list of models, for our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.defer import TimeoutError as LimitReached
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from claudeproxy.errors import BackendError, ClaudeProxyError
from claudeproxy.interfaces import IByteSink

__all__ = ["UpstreamModels"]

_FRESH_FOR = 300.0
"""Seconds for which a list is good."""
_RETRY_AFTER = 30.0
"""Seconds until an upstream that did not give its list is asked again."""
_TIME_LIMIT = 5.0
"""Seconds that a client of ours waits for the upstream at most; some pickers give up after five."""
_MAX_BYTES = 4 * 1024 * 1024
"""Bytes that a list may have."""


class _ModelList(msgspec.Struct):
    data: list[dict[str, Any]]


class UpstreamModels:
    """
    Asks the upstream at most once at a time and once in five minutes, and falls back to what it said last.
    """

    _log = Logger()

    def __init__(self, name: str, clock: IReactorTime, fetch: Callable[[IByteSink], Deferred[Any]]) -> None:
        """
        :param name: the upstream's, for the log.
        :param fetch: relays ``GET /models`` into the sink.
        """
        self._name = name
        self._clock = clock
        self._fetch = fetch
        self._known: tuple[dict[str, Any], ...] = ()
        self._good_until = clock.seconds()
        self._waiting: list[Deferred[tuple[dict[str, Any], ...]]] = []

    def get(self) -> Deferred[tuple[dict[str, Any], ...]]:
        """
        The entries as the upstream wrote them; never fails. Everyone who waits has a Deferred of their own.
        """
        if 0 < self._good_until - self._clock.seconds() <= _FRESH_FOR:
            return succeed(self._known)
        waiting: Deferred[tuple[dict[str, Any], ...]] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            ensureDeferred(self._refresh())
        return waiting

    async def _refresh(self) -> None:
        sink = _Collector()
        try:
            await self._fetch(sink).addTimeout(_TIME_LIMIT, self._clock)
            self._known = sink.models()
            self._good_until = self._clock.seconds() + _FRESH_FOR
        except (ClaudeProxyError, LimitReached) as error:
            self._good_until = self._clock.seconds() + _RETRY_AFTER
            self._log.warn("No list of models of {name} is to be had: {error}", name=self._name, error=error)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(self._known)


@implementer(IByteSink)
class _Collector:
    """
    Keeps a small answer in memory.
    """

    def __init__(self) -> None:
        self.begun = False
        self._status = 0
        self._data = bytearray()

    def trying(self) -> None:
        """
        Begin anew.
        """
        self._data.clear()

    def flow_from(self, producer: object) -> None:
        """
        Memory is never slow.
        """

    def flow_ended(self) -> None:
        """
        Nothing to do.
        """

    def head(self, status: int, headers: object) -> None:
        self._status = status

    def raw(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _MAX_BYTES:
            raise BackendError("The upstream's list of models is too long.")

    def models(self) -> tuple[dict[str, Any], ...]:
        """
        The entries that have an id.
        """
        if self._status != 200:
            raise BackendError(f"The upstream answered with status {self._status}.")
        try:
            entries = msgspec.json.decode(self._data, type=_ModelList).data
        except (msgspec.DecodeError, RecursionError) as error:
            raise BackendError("The upstream's list of models is not in OpenAI's form.") from error
        return tuple(entry for entry in entries if isinstance(entry.get("id"), str))
