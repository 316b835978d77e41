"""
A turn that cannot enter its session leaves the session free.
"""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from claudeproxy.backends.claude.claims import Claims
from claudeproxy.backends.claude.conversations import LiveProcesses, TurnLocks
from claudeproxy.core.chat import ChatRequest, Message, Role, Text
from claudeproxy.core.sessions import Session
from claudeproxy.errors import SessionNotFound
from claudeproxy.store.sessions import MemorySessionStore


@define
class FailingStore:
    """
    Fails in one of its calls.
    """

    error: BaseException
    call: int
    session: Session
    calls: int = field(init=False, default=0)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.call:
            raise self.error

    def get(self, session_id: str, tenant: str) -> Session:
        self._count()
        return self.session

    def put(self, session: Session) -> None:
        self._count()


_ERRORS = [RecursionError(), KeyError(), MemoryError(), CancelledError(), SessionNotFound("gone"), SystemExit()]


@pytest.mark.parametrize("error", _ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("named", [True, False], ids=["named", "new"])
def test_a_claim_that_fails_leaves_no_session_locked(error: BaseException, named: bool) -> None:
    """Whatever goes wrong after the lock was taken, the next turn need not wait for it."""
    clock = Clock()
    locks = TurnLocks(clock, 1.0)
    session = Session(
        session_id="s", tenant="", model="sonnet", system="", tools=(), messages=(), created=0.0, touched=0.0
    )
    store = FailingStore(error, 2 if named else 1, session)
    claims = Claims(cast(MemorySessionStore, store), cast(LiveProcesses, None), cast(Any, clock), locks)
    request = ChatRequest(
        model="sonnet",
        backend_model="sonnet",
        messages=(Message(Role.USER, (Text("Hello"),)),),
        session_id="s" if named else None,
    )

    with pytest.raises(type(error)):
        claims.claim(request).send(None)

    assert store.calls == store.call
    following = locks.acquire("s")
    assert following.called
    assert len(locks._queues) == 1
