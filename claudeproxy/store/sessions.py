"""
Sessions in memory.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.core.sessions import Session
from claudeproxy.interfaces import ISessionStore

__all__ = ["MemorySessionStore"]


@implementer(ISessionStore)
@define
class MemorySessionStore:
    """
    An ``ISessionStore`` for as long as the daemon lives, bounded in time and in bytes.

    When the histories outgrow ``max_bytes``, the sessions that were used least recently are forgotten first.
    """

    _clock: IReactorTime
    _ttl: float
    """Seconds without a turn."""
    _max_age: float
    """Seconds since the session began."""
    _max_bytes: int
    _sessions: OrderedDict[str, Session] = field(init=False, factory=OrderedDict)
    _bytes: int = field(init=False, default=0)

    def get(self, session_id: str, tenant: str) -> Session | None:
        """
        See ``ISessionStore``.
        """
        session = self._sessions.get(session_id)
        if session is None or session.tenant != tenant:
            return None
        if self._expired(session):
            self.delete(session_id)
            return None
        return session

    def put(self, session: Session) -> None:
        """
        See ``ISessionStore``.
        """
        self.delete(session.session_id)
        self._sessions[session.session_id] = session
        self._bytes += session.size
        self._trim()

    def delete(self, session_id: str) -> None:
        """
        See ``ISessionStore``.
        """
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._bytes -= session.size

    def __len__(self) -> int:
        return len(self._sessions)

    def _expired(self, session: Session) -> bool:
        now = self._clock.seconds()
        return now - session.touched > self._ttl or now - session.created > self._max_age

    def _trim(self) -> None:
        # The order is the order of use, so whatever has expired by its idle time stands at the front.
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if self._bytes <= self._max_bytes and not self._expired(oldest):
                return
            self.delete(oldest.session_id)
