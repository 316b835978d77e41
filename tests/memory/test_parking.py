"""
The end of an answer that calls functions: its process is asked for the cost, and waits for the results.
"""

from __future__ import annotations

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.turn import Expected, Outcome
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.core.chat import Text
from claudeproxy.core.events import Finished, FinishReason, StreamEvent, UsageReport
from claudeproxy.errors import BackendError, ClaudeProxyError, OutputLimitExceeded
from tests.memory.processes import Process
from tests.memory.test_pool import Bench


@define(eq=False)
class Asked:
    """A turn on a process, whose model is about to call a function."""

    clock: Clock
    cli: Process
    process: ClaudeProcess
    events: list[StreamEvent]
    done: Deferred[Outcome]
    results: list[object] = field(factory=list)

    @classmethod
    def make(cls, cost: float | None) -> Asked:
        bench = Bench.make(1, 1)
        bench.clock.advance(1)
        bench.take(0)
        (process,) = bench.working
        (cli,) = bench.spawner.alive
        cli.cost = cost
        events: list[StreamEvent] = []
        process.initialize("", ("f",))
        asked = cls(bench.clock, cli, process, events, process.run_turn((Text("x"),), Expected(events.append)))
        bench.clock.advance(0.1)
        asked.done.addBoth(asked.results.append)
        return asked

    @property
    def costs(self) -> list[float | None]:
        """What the turn was reported to cost."""
        return [event.usage.cost_usd for event in self.events if isinstance(event, UsageReport)]


def test_a_call_ends_the_answer_when_its_cost_is_known() -> None:
    """Until then the turn is under way; from then on the process is parked."""
    asked = Asked.make(cost=0.25)
    asked.cli.call("f")
    assert (asked.results, asked.process.running, asked.process.parking.waits) == ([], True, False)
    asked.clock.advance(0.01)

    assert asked.costs == [0.25]
    assert asked.events[-1] == Finished(FinishReason.TOOL_CALLS)
    assert (len(asked.results), asked.process.running, asked.process.parking.waits) == (1, False, True)


def test_a_cli_that_does_not_say_it_holds_nobody_up() -> None:
    """The answer ends without it, well before a client would wonder."""
    asked = Asked.make(cost=None)
    asked.cli.call("f")
    asked.clock.advance(1.99)
    assert asked.results == []
    asked.clock.advance(0.02)

    assert asked.costs == [None]
    assert asked.process.parking.waits


@pytest.mark.parametrize("by", ["a request", "a result"])
def test_a_cli_that_goes_on_by_itself_is_not_parked(by: str) -> None:
    """What it does then nobody asked for: it is given up, and the results are told to another one."""
    asked = Asked.make(cost=0.25)
    asked.cli.call("f")
    asked.clock.advance(0.01)
    asked.cli.say(type="stream_event", event={"type": "message_stop"})
    assert asked.process.usable
    if by == "a request":
        asked.cli.say(type="stream_event", event={"type": "message_start", "message": {"usage": {"input_tokens": 1}}})
    else:
        asked.cli.finish(is_error=False, result="x", stop_reason="end_turn")

    assert not asked.process.usable
    asked.clock.advance(10)
    assert asked.cli.gone


def test_a_line_that_is_too_long_hides_no_other() -> None:
    """One that came with it and means nothing fails the turn as it does alone, and nothing escapes."""
    asked = Asked.make(cost=None)
    line = b'{"type":"result","subtype":7}\n' + b"x" * (17 * 1024 * 1024) + b"\n"
    asked.cli.protocol.childDataReceived(1, line)

    assert isinstance(asked.results[0], Failure)
    assert asked.results[0].check(BackendError, OutputLimitExceeded)


def test_a_turn_that_ends_meanwhile_is_not_parked() -> None:
    """Should the CLI end the turn by itself, nothing is waited for, and the cost is told once."""
    asked = Asked.make(cost=0.25)
    asked.cli.call("f")
    asked.cli.finish(is_error=False, result="", stop_reason="end_turn")
    asked.clock.advance(0.01)

    assert len(asked.costs) == 1
    assert (len(asked.results), asked.process.running, asked.process.parking.waits) == (1, False, False)


@pytest.mark.parametrize("ends", ["dies", "cancelled"])
def test_an_end_before_the_cost_is_known(ends: str) -> None:
    """A process that dies in that moment fails the turn, and a client that leaves is told nothing more."""
    asked = Asked.make(cost=None)
    asked.cli.call("f")
    if ends == "dies":
        asked.cli.end()
    else:
        asked.done.cancel()
    asked.clock.advance(5)
    (failure,) = asked.results

    assert isinstance(failure, Failure)
    assert failure.check(ClaudeProxyError if ends == "dies" else CancelledError)
    assert asked.costs == []
