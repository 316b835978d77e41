"""
The ladder that ends a process.
"""

from __future__ import annotations

import signal

from attrs import define, field
from twisted.internet.task import Clock

from claudeproxy.backends.claude.processes.reaper import KILL_AFTER, TERM_AFTER, Reaper


@define
class Stubborn:
    """
    A process that ends for nothing, and remembers what was tried.
    """

    tried: list[str] = field(factory=list)

    def close_stdin(self) -> None:
        self.tried.append("stdin closed")

    def signal_group(self, number: int) -> None:
        self.tried.append(signal.Signals(number).name)

    def let_go(self) -> None:
        self.tried.append("pipes let go")


def test_the_ladder_goes_from_asking_to_killing() -> None:
    """Stdin is closed, then TERM, then KILL, then the pipes are let go, each after its time."""
    clock, process = Clock(), Stubborn()
    Reaper(process, clock).start()
    assert process.tried == ["stdin closed"]
    clock.advance(TERM_AFTER)
    assert process.tried == ["stdin closed", "SIGTERM"]
    clock.advance(KILL_AFTER)
    assert process.tried == ["stdin closed", "SIGTERM", "SIGKILL"]
    clock.advance(10)
    assert process.tried == ["stdin closed", "SIGTERM", "SIGKILL", "pipes let go"]
    assert clock.getDelayedCalls() == []


def test_a_second_start_changes_nothing() -> None:
    """The ladder is climbed once."""
    clock, process = Clock(), Stubborn()
    reaper = Reaper(process, clock)
    reaper.start()
    clock.advance(TERM_AFTER)
    reaper.start()

    assert process.tried == ["stdin closed", "SIGTERM"]


def test_it_stops_when_the_process_has_ended() -> None:
    """A process that ended is left alone, and no timer stays."""
    clock, process = Clock(), Stubborn()
    reaper = Reaper(process, clock)
    reaper.start()
    reaper.finished()
    clock.advance(60)

    assert process.tried == ["stdin closed"]
    assert clock.getDelayedCalls() == []


def test_hurrying_skips_to_the_kill() -> None:
    """In a hurry the process is killed at once."""
    clock, process = Clock(), Stubborn()
    reaper = Reaper(process, clock)
    reaper.start()
    reaper.hurry()

    assert process.tried == ["stdin closed", "SIGKILL"]
