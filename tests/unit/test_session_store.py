"""
Sessions in memory.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from claudeproxy.core.chat import Message, Role
from claudeproxy.core.sessions import Session
from claudeproxy.core.tools import Tool
from claudeproxy.interfaces import ISessionStore
from claudeproxy.store.sessions import MemorySessionStore


def session(name: str, clock: Clock, text: str = "hello", tenant: str = "t") -> Session:
    return Session(
        session_id=name,
        tenant=tenant,
        model="sonnet",
        system="",
        tools=(),
        messages=(Message(Role.USER, text),),
        created=clock.seconds(),
        touched=clock.seconds(),
    )


def store(clock: Clock, max_bytes: int = 1_000_000) -> MemorySessionStore:
    return MemorySessionStore(clock, ttl=60, max_age=300, max_bytes=max_bytes)


def test_functions_are_counted_once_and_kept_once() -> None:
    """Many conversations with the same functions take little more than one; another offer is counted as well."""
    clock = Clock()
    offer = [Tool(f"f{number}", "d" * 1000) for number in range(10)]
    sessions = store(clock, max_bytes=60_000)
    for number in range(20):
        sessions.put(evolve(session(str(number), clock), tools=tuple(evolve(tool) for tool in offer)))
    assert len(sessions) == 20
    assert len({id(each.tools) for each in sessions.all()}) == 1

    for number in range(20, 25):
        other = tuple(evolve(tool, name=f"{tool.name}_{number}") for tool in offer)
        sessions.put(evolve(session(str(number), clock), tools=other))
    assert len(sessions) < 20
    for each in sessions.all():
        sessions.delete(each.session_id, "t")
    sessions.put(evolve(session("last", clock, "x" * 40_000), tools=tuple(offer)))
    assert len(sessions) == 1


def test_it_keeps_its_interface() -> None:
    """The store offers what ISessionStore promises."""
    assert verifyObject(ISessionStore, store(Clock()))


def test_another_tenants_session_is_as_unknown_as_none() -> None:
    """A session is found by its own tenant alone."""
    clock = Clock()
    sessions = store(clock)
    sessions.put(session("a", clock))

    assert sessions.get("a", "t") is not None
    assert sessions.get("a", "other") is None
    assert sessions.get("b", "t") is None


def test_a_session_expires_when_idle() -> None:
    """After its idle time without a turn a session is unknown; a turn begins the time anew."""
    clock = Clock()
    sessions = store(clock)
    sessions.put(session("a", clock))
    clock.advance(59)
    sessions.put(evolve(session("a", clock), created=0.0))
    clock.advance(59)
    assert sessions.get("a", "t") is not None

    clock.advance(2)
    assert sessions.get("a", "t") is None
    assert len(sessions) == 0


def test_a_session_expires_by_age() -> None:
    """However busy, a session ends at its maximum age."""
    clock = Clock()
    sessions = store(clock)
    for _ in range(6):
        sessions.put(evolve(session("a", clock), created=0.0))
        assert sessions.get("a", "t") is not None
        clock.advance(50.1)

    assert sessions.get("a", "t") is None


def test_time_that_is_set_back() -> None:
    """A clock that is set back by more than a session's time ends it; by less, it prolongs it by no more than that."""
    clock = Clock()
    clock.advance(10_000)
    sessions = store(clock)
    sessions.put(session("a", clock))
    clock.rightNow -= 50
    assert sessions.get("a", "t") is not None
    clock.rightNow -= 11
    assert sessions.get("a", "t") is None

    sessions.put(session("b", clock))
    clock.rightNow -= 50
    clock.advance(111)
    assert sessions.get("b", "t") is None


def test_memory_is_bounded_by_forgetting_the_longest_unused() -> None:
    """Histories beyond the bound push out those that were used least recently, and only those."""
    clock = Clock()
    sessions = store(clock, max_bytes=5_000)
    for name in "abc":
        sessions.put(session(name, clock, text="x" * 1_500))
    assert sessions.get("a", "t") is None
    assert sessions.get("b", "t") is not None

    sessions.put(session("b", clock, text="x" * 1_500))
    sessions.put(session("d", clock, text="x" * 1_500))

    assert sessions.get("c", "t") is None
    assert sessions.get("b", "t") is not None
    sessions.delete("b", "t")
    sessions.delete("b", "t")
    assert len(sessions) == 1


def test_nobody_pushes_out_the_sessions_of_the_others() -> None:
    """Whoever fills the memory loses sessions of their own; one who has little keeps it."""
    clock = Clock()
    sessions = store(clock, max_bytes=10_000)
    sessions.put(session("mine", clock, tenant="quiet"))
    for number in range(20):
        sessions.put(session(f"theirs-{number}", clock, text="x" * 1_500, tenant="loud"))

    assert sessions.get("mine", "quiet") is not None
    assert sessions.get("theirs-0", "loud") is None
    assert sessions.get("theirs-19", "loud") is not None


def test_another_tenants_session_cannot_be_deleted() -> None:
    """To delete what is not one's own does nothing."""
    clock = Clock()
    sessions = store(clock)
    sessions.put(session("a", clock))
    sessions.delete("a", "other")

    assert sessions.get("a", "t") is not None


def test_what_has_expired_is_forgotten_though_nobody_asks_for_it() -> None:
    """A conversation does not stay in memory because its tenant never comes back."""
    clock = Clock()
    sessions = store(clock)
    sessions.put(session("a", clock, tenant="gone"))
    clock.advance(61)
    sessions.put(session("b", clock))

    assert len(sessions) == 1
