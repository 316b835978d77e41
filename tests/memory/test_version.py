"""
The question for the CLI's version, while the CLI fails.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock

from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.version import VersionCheck
from claudeproxy.config import load
from tests.memory.processes import Process


@define(eq=False)
class Spawner:
    """
    Starts processes that say nothing until a test lets them.
    """

    clock: Clock
    asked: list[Process] = field(factory=list)

    def spawnProcess(self, protocol: ProcessProtocol, executable: str, args: Any, env: Any) -> Process:
        # The id of a group that cannot be there.
        process = Process(self.clock, protocol, 2**30 + len(self.asked), "")
        self.asked.append(process)
        protocol.makeConnection(process)  # type: ignore[arg-type]
        return process

    def say(self, version: bytes) -> None:
        """The one that runs answers and ends."""
        self.asked[-1].protocol.childDataReceived(1, version)
        self.asked[-1].end()


def started(remark: Coroutine[Deferred[Any], Any, str]) -> tuple[Deferred[str], list[str]]:
    """The remark, and where it comes when it is there."""
    said: list[str] = []
    deferred = ensureDeferred(remark)
    deferred.addCallbacks(said.append, lambda failure: said.append("left"))
    return deferred, said


def make(clock: Clock, path: Path) -> tuple[VersionCheck, Spawner]:
    """A check of the CLI at a path."""
    path.write_text("1")
    path.chmod(0o755)
    config = evolve(load({}, {"ANTHROPIC_API_KEY": "k"}).claude, path=str(path))
    spawner = Spawner(clock)
    return VersionCheck(Launcher(config, {"PATH": "/bin"}, "sonnet"), spawner, clock), spawner  # type: ignore[arg-type]


def test_many_failures_ask_once(clock: Clock, tmp_path: Path) -> None:
    """One process answers everybody; who leaves takes the answer from nobody."""
    check, spawner = make(clock, tmp_path / "claude")
    remarks = [started(check.remark()) for _ in range(60)]
    remarks[0][0].cancel()

    assert len(spawner.asked) == 1
    spawner.say(b"1.0.3 (Claude Code)\n")
    assert remarks[0][1] == ["left"]
    assert all("It is version 1.0.3," in said for _, (said,) in remarks[1:])
    assert "1.0.3" in started(check.remark())[1][0]
    assert len(spawner.asked) == 1


def test_a_cli_that_is_replaced_is_asked_after_the_one_before(clock: Clock, tmp_path: Path) -> None:
    """Never two at once, and nobody gets the answer of another file."""
    path = tmp_path / "claude"
    check, spawner = make(clock, path)
    _, first = started(check.remark())
    path.unlink()
    (tmp_path / "other").write_text("2")
    (tmp_path / "other").chmod(0o755)
    (tmp_path / "other").rename(path)
    _, second = started(check.remark())

    assert len(spawner.asked) == 1
    spawner.say(b"1.0.3")
    assert (len(first), second, len(spawner.asked)) == (1, [], 2)
    spawner.say(b"1.0.4")
    assert "It is version 1.0.4," in second[0]


def test_a_stop_ends_the_question(clock: Clock, tmp_path: Path) -> None:
    """All that wait get their error without a remark, and nothing is asked any more."""
    check, spawner = make(clock, tmp_path / "claude")
    remarks = [started(check.remark()) for _ in range(3)]
    check.stop()

    assert [said for _, said in remarks] == [[""]] * 3
    assert spawner.asked[0].gone
    assert started(check.remark())[1] == [""]
    assert len(spawner.asked) == 1
    assert clock.getDelayedCalls() == []
