"""
One turn at a time in each session.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from claudeproxy.backends.claude.conversations import TurnLocks
from claudeproxy.errors import SessionBusy


def test_turns_follow_one_another_in_order() -> None:
    """The second turn begins when the first is over, the third after it; another session does not wait."""
    locks, begun = TurnLocks(Clock(), 5.0), []
    for name in ("first", "second", "third"):
        locks.acquire("s").addCallback(lambda _, name=name: begun.append(name))
    locks.acquire("other").addCallback(lambda _: begun.append("other"))
    assert begun == ["first", "other"]

    locks.release("s")
    assert begun == ["first", "other", "second"]
    locks.release("s")
    locks.release("s")
    assert begun == ["first", "other", "second", "third"]
    assert "s" not in locks


def test_a_turn_that_waits_too_long_is_refused() -> None:
    """After its time a waiting turn gives up, and the ones behind it move on."""
    clock = Clock()
    locks = TurnLocks(clock, 5.0)
    locks.acquire("s")
    refused: list[type] = []
    locks.acquire("s").addErrback(lambda failure: refused.append(failure.type))
    clock.advance(4)
    later: Deferred[None] = locks.acquire("s")
    clock.advance(2)
    assert refused == [SessionBusy]

    locks.release("s")
    assert later.called
    locks.release("s")
    assert clock.getDelayedCalls() == []


def test_any_number_of_turns_that_fail_at_once() -> None:
    """A thousand waiting turns that end as soon as they begin leave the session free."""
    locks, ended = TurnLocks(Clock(), 5.0), []

    async def turn() -> None:
        await locks.acquire("s")
        ended.append(1)
        locks.release("s")

    locks.acquire("s")
    for _ in range(1000):
        ensureDeferred(turn())
    locks.release("s")

    assert len(ended) == 1000
    assert "s" not in locks
