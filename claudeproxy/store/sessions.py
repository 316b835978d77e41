"""
Sessions in memory.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, evolve, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.core.sessions import Session
from claudeproxy.core.tools import Tool, offer_key
from claudeproxy.interfaces import ISessionStore

__all__ = ["MemorySessionStore"]


@define
class _Offer:
    """
    Functions that sessions have. A client sends the same ones with each of its conversations.
    """

    tools: tuple[Tool, ...]
    sessions: int = field(init=False, default=0)
    """How many have them."""

    @property
    def size(self) -> int:
        return sum(tool.size for tool in self.tools)


@define
class _Shelf:
    """
    One tenant's sessions, those first that were used least recently.
    """

    sessions: OrderedDict[str, Session] = field(init=False, factory=OrderedDict)
    bytes: int = field(init=False, default=0)
    _offers: dict[tuple[str, ...], _Offer] = field(init=False, factory=dict)

    def add(self, session: Session) -> None:
        self.remove(session.session_id)
        if session.tools:
            session = self._sharing(session)
        self.sessions[session.session_id] = session
        self.bytes += session.size

    def remove(self, session_id: str) -> None:
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        self.bytes -= session.size
        if session.tools:
            key = offer_key(session.tools)
            offer = self._offers[key]
            offer.sessions -= 1
            if not offer.sessions:
                del self._offers[key]
                self.bytes -= offer.size

    def _sharing(self, session: Session) -> Session:
        """
        Return a session with the functions that others have as well, if these are equal, and count it among them.
        """
        key = offer_key(session.tools)
        offer = self._offers.get(key)
        if offer is None:
            offer = self._offers[key] = _Offer(session.tools)
            self.bytes += offer.size
        offer.sessions += 1
        return session if offer.tools is session.tools else evolve(session, tools=offer.tools)


@implementer(ISessionStore)
@define
class MemorySessionStore:
    """
    An ``ISessionStore`` for as long as the daemon lives, bounded in time and in bytes.

    Each tenant's sessions stand apart: to ask for another's is in all, also in the time it takes, to ask for one that
    does not exist. When the histories outgrow ``max_bytes``, whoever has the most of them loses the one that was used
    least recently, so that nobody can push out the sessions of the others.
    """

    _clock: IReactorTime
    _ttl: float
    """Seconds without a turn."""
    _max_age: float
    """Seconds since the session began."""
    _max_bytes: int
    state: int = field(init=False, default=0)
    """Another number with each change."""
    _shelves: dict[str, _Shelf] = field(init=False, factory=dict)

    def get(self, session_id: str, tenant: str) -> Session | None:
        """
        See ``ISessionStore``.
        """
        shelf = self._shelves.get(tenant)
        session = None if shelf is None else shelf.sessions.get(session_id)
        if session is not None and self._expired(session):
            self.delete(session_id, tenant)
            return None
        return session

    def put(self, session: Session) -> None:
        """
        See ``ISessionStore``.
        """
        self.state += 1
        self._shelves.setdefault(session.tenant, _Shelf()).add(session)
        self._forget_expired()
        while self._shelves and sum(shelf.bytes for shelf in self._shelves.values()) > self._max_bytes:
            tenant, shelf = max(self._shelves.items(), key=lambda item: item[1].bytes)
            self.delete(next(iter(shelf.sessions)), tenant)

    def delete(self, session_id: str, tenant: str) -> None:
        """
        See ``ISessionStore``.
        """
        shelf = self._shelves.get(tenant)
        if shelf is not None:
            self.state += 1
            shelf.remove(session_id)
            if not shelf.sessions:
                del self._shelves[tenant]

    def all(self) -> tuple[Session, ...]:
        """
        Return every session, those of a tenant in the order in which they were used.
        """
        return tuple(session for shelf in self._shelves.values() for session in shelf.sessions.values())

    def __len__(self) -> int:
        return sum(len(shelf.sessions) for shelf in self._shelves.values())

    def _expired(self, session: Session) -> bool:
        # A clock that is set back leaves sessions of the future; they do not live on until it has caught up.
        now = self._clock.seconds()
        return abs(now - session.touched) > self._ttl or abs(now - session.created) > self._max_age

    def _forget_expired(self) -> None:
        # The order is the order of use, so whatever has expired by its idle time stands at the front.
        for tenant, shelf in list(self._shelves.items()):
            while shelf.sessions:
                oldest = next(iter(shelf.sessions.values()))
                if not self._expired(oldest):
                    break
                self.delete(oldest.session_id, tenant)
