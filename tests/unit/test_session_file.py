"""
Sessions on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from claudeproxy.core.chat import Message, Role
from claudeproxy.core.sessions import Session
from claudeproxy.core.tools import Tool
from claudeproxy.store.keeper import SessionKeeper
from claudeproxy.store.session_file import SessionFile
from claudeproxy.store.sessions import MemorySessionStore
from tests.unit.test_history import messages, words

tools = st.builds(Tool, words, words, st.just({"type": "object", "x": [1, 2.5, None]}), st.sampled_from([None, True]))
times = st.floats(0, 9)
sessions = st.builds(
    Session,
    words,
    words,
    words,
    words,
    st.lists(tools, max_size=2).map(tuple),
    messages,
    st.floats(0, 9),
    st.floats(0, 9),
)
no_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@no_file
@given(st.lists(sessions, max_size=4))
def test_what_is_read_is_what_was_written(tmp_path: Path, kept: list[Session]) -> None:
    """Every kind of message survives, texts, pictures, calls and results, with the functions and the times."""
    file = SessionFile(tmp_path)
    file.write(kept)

    assert file.read() == kept


def test_functions_are_written_once(tmp_path: Path) -> None:
    """Clients send the same ones with each of their conversations."""
    file = SessionFile(tmp_path)
    tools = (Tool("f", "a description"), Tool("g"), Tool("h", renamed={"x_1": "$x"}, wrapper="arguments_2"))
    kept = [evolve(session(str(number), Clock()), tools=tools) for number in range(9)]
    file.write(kept)

    assert file.path.read_text().count("a description") == 1
    assert file.read() == kept


def test_a_session_whose_functions_are_lost(tmp_path: Path) -> None:
    """Is none of ours."""
    file = SessionFile(tmp_path)
    file.write([session("a", Clock())])
    file.path.write_text(file.path.read_text().replace('"offers":[[]]', '"offers":[]'))
    with pytest.raises(ValueError, match="IndexError"):
        file.read()


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine can read conversations; a first start has none."""
    file = SessionFile(tmp_path / "new" / "state")
    assert file.read() == []
    file.write([])

    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["sessions.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"version": 1, "sessions": []}',
        b'{"version": 2, "sessions": []}',
        b'{"version": 2, "offers": [], "sessions": [{}]}',
        b"\xff",
    ],
)
def test_a_file_that_is_none_of_ours(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is said to be so, whatever is wrong with it."""
    file = SessionFile(tmp_path)
    file.path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        file.read()


def session(name: str, clock: Clock) -> Session:
    now = clock.seconds()
    return Session(name, "t", "sonnet", "", (), (Message(Role.USER, "hello"),), now, now)


def keeping(directory: Path, clock: Clock) -> tuple[MemorySessionStore, SessionKeeper]:
    store = MemorySessionStore(clock, 60, 300, 1_000_000)
    return store, SessionKeeper(clock, store, SessionFile(directory))


@pytest_twisted.ensureDeferred
async def test_a_later_daemon_knows_the_sessions(tmp_path: Path, clock: Clock) -> None:
    """What was there at a stop is there again, unless it has expired meanwhile."""
    store, keeper = keeping(tmp_path, clock)
    keeper.start()
    store.put(session("old", clock))
    clock.advance(20)
    store.put(session("new", clock))
    await keeper.stop()
    clock.advance(45)
    later, keeper = keeping(tmp_path, clock)
    keeper.start()
    await keeper.stop()

    assert later.get("old", "t") is None
    assert later.get("new", "t") == store.get("new", "t")
    assert clock.getDelayedCalls() == []


def in_the_way(directory: Path) -> None:
    directory.write_text("a file")


def broken(directory: Path) -> None:
    directory.mkdir()
    (directory / "sessions.json").write_text("{")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("spoil", [in_the_way, broken])
async def test_a_disk_that_fails_is_told_and_harms_nothing(
    spoil: Callable[[Path], None], tmp_path: Path, clock: Clock
) -> None:
    """A directory that cannot be used, or a file that is broken, is a warning."""
    spoil(tmp_path / "state")
    store, keeper = keeping(tmp_path / "state", clock)
    with capturedLogs() as events:
        keeper.start()
        store.put(session("a", clock))
        await keeper.stop()

    assert store.get("a", "t") is not None
    assert any("STATE_DIR" in event["log_format"] for event in events)
