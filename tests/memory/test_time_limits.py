"""
How long a request may wait, and how long it may take.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from claudeproxy.config import load
from claudeproxy.core.routing import BackendName, Fallback, ModelNames, Step
from claudeproxy.errors import BackendError, UpstreamTimeout
from claudeproxy.ops.time_limits import IdleTimer, TimeLimits
from claudeproxy.service import claude_backend
from claudeproxy.store.sessions import MemorySessionStore
from tests.memory.doubles import EVENTS
from tests.memory.processes import Process, Spawner
from tests.memory.wire import House, Wire, chat_body

MINUTE = 60.0
WAYS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "collected"])


@define(eq=False)
class Asked:
    """A client of a turn on a process of memory, whose model a test plays."""

    house: House
    wire: Wire
    cli: Process

    @classmethod
    def make(cls, stream: bool, **settings: str) -> Asked:
        clock = Clock()
        clock.advance(1_000_000)
        environ = {"ANTHROPIC_API_KEY": "k", "CLAUDE_PATH": "/bin/true", "MAX_CONCURRENT_PROCESSES": "1", **settings}
        config = load({}, environ)
        config = evolve(config, claude=evolve(config.claude, warm_processes=1))
        spawner = Spawner(clock)
        sessions = MemorySessionStore(clock, 3600.0, 86400.0, 10)
        backend = claude_backend(clock, spawner, config, {"PATH": "/bin"}, sessions)  # type: ignore[arg-type]
        house = House(clock=clock, backend=backend, claude=config.claude)
        backend.start()
        clock.advance(1)
        wire = house.connect()
        wire.send("POST", "/v1/chat/completions", chat_body(stream=stream))
        # The process takes the message as soon as it has granted what comes before it.
        (cli,) = spawner.alive
        asked = cls(house, wire, cli)
        asked.event("message_start", message={"usage": {"input_tokens": 1}})
        return asked

    def event(self, kind: str, **fields: Any) -> None:
        """The model's API sends an event."""
        self.cli.say(type="stream_event", event={"type": kind, **fields})

    def say(self, text: str) -> None:
        """The model says something."""
        self.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def wait(self, seconds: float) -> None:
        """Time passes, in small steps as for a real clock."""
        self.house.clock.pump([1.0] * round(seconds))

    @property
    def waits(self) -> bool:
        """The request is under way."""
        return self.house.drain.in_flight == 1

    def failed(self) -> str:
        """The error that ended it."""
        assert not self.waits
        self.wire.leave()
        return str(self.house.access["error"])


@WAYS
@pytest.mark.parametrize("kind", ["text", "ping"])
def test_a_turn_that_flows_is_not_cut(stream: bool, kind: str) -> None:
    """With an event every four minutes a turn of an hour comes to its end; so it does when nothing is to be shown."""
    asked = Asked.make(stream)
    for _ in range(15):
        asked.wait(4 * MINUTE)
        if kind == "text":
            asked.say("word ")
        else:
            asked.event("ping")
    asked.say("end")
    asked.cli.finish(is_error=False, result="", stop_reason="end_turn")
    answer = asked.wire.answer()

    assert (200, True) == (answer.status, answer.complete)
    assert answer.body.count(b"word ") == (15 if kind == "text" else 0)
    assert b'"stop"' in answer.body


@WAYS
@pytest.mark.parametrize("words", [0, 3])
def test_a_silence_ends_a_turn(stream: bool, words: int) -> None:
    """From the last event on, or from the request on when there was none, the model has REQUEST_TIMEOUT_MS."""
    asked = Asked.make(stream)
    for _ in range(words):
        asked.wait(4 * MINUTE)
        asked.say("word ")
    asked.wait(5 * MINUTE - 1)
    assert asked.waits
    asked.wait(2)

    assert "timeout" == asked.failed()
    assert "interrupt" in asked.cli.asked


@WAYS
def test_the_total_limit_of_a_turn(stream: bool) -> None:
    """REQUEST_TOTAL_TIMEOUT_MS ends a turn that flows, and not before."""
    asked = Asked.make(stream, REQUEST_TOTAL_TIMEOUT_MS="1200000")
    for _ in range(4):
        asked.wait(4 * MINUTE)
        asked.say("word ")
    asked.wait(4 * MINUTE - 1)
    assert asked.waits
    asked.wait(2)

    assert "timeout" == asked.failed()


def test_a_client_that_never_reads_a_turn() -> None:
    """However much the model says, what is not read is no progress, and the turn is ended."""
    asked = Asked.make(True)
    transport: Any = asked.wire.transport
    for minute in range(20):
        if not asked.cli.paused:
            asked.say("word ")
        if minute == 10:
            transport.producer.pauseProducing()
            assert asked.cli.paused
        asked.wait(MINUTE)
        assert ("interrupt" in asked.cli.asked) == (minute >= 14)

    assert transport.aborted
    asked.wire.close()
    assert "timeout" == asked.failed()


def test_a_client_that_reads_slowly() -> None:
    """A client that takes a piece every four minutes gets all of a turn of an hour."""
    asked = Asked.make(True)
    transport: Any = asked.wire.transport
    for _ in range(15):
        asked.say("word ")
        transport.producer.pauseProducing()
        asked.wait(4 * MINUTE)
        transport.producer.resumeProducing()
    asked.cli.finish(is_error=False, result="", stop_reason="end_turn")
    answer = asked.wire.answer()

    assert (True, 15) == (answer.complete, answer.body.count(b"word "))


# -- Chains -------------------------------------------------------------------


def chained(*steps: Step, **settings: float) -> House:
    """The web side with a chain, whose backends a test plays."""
    house = House(fallbacks=(Fallback(ModelNames(("sonnet",)), steps),))
    if settings:
        house = House(fallbacks=house.fallbacks, claude=evolve(house.claude, **settings))
    return house


CLAUDE, OPENAI = Step(BackendName.CLAUDE), Step(BackendName.UPSTREAM, "openai")


@WAYS
@pytest.mark.parametrize("second", [CLAUDE, OPENAI], ids=["claude", "upstream"])
def test_a_chain_that_answers_is_not_cut(stream: bool, second: Step) -> None:
    """The time of all steps together is that until one begins to answer."""
    first = OPENAI if second is CLAUDE else CLAUDE
    house = chained(first, second)
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=stream))
    house.clock.advance(200)
    if first is OPENAI:
        house.relay.exchange.refuse(500)
        house.backend.turn.start()
    else:
        house.backend.turn.fail(BackendError("dead"))
        house.relay.exchange.head(200, EVENTS if stream else ())
    for _ in range(15):
        if second is CLAUDE:
            house.backend.turn.say("word ")
        else:
            house.relay.exchange.send(b"data: 1\n\n")
        house.clock.pump([1.0] * 240)
    if second is CLAUDE:
        house.backend.turn.end()
    else:
        house.relay.exchange.send(b"data: [DONE]\n\n")
        house.relay.exchange.end()

    answer = wire.answer()
    assert (200, 15) == (answer.status, answer.body.count(b"word " if second is CLAUDE else b"data: 1"))
    wire.leave()
    assert "error" not in house.access


def test_a_step_that_began_and_failed_gives_no_time() -> None:
    """A step of which nothing was sent yet hands over; the next one has what is left until the first byte."""
    house = chained(CLAUDE, OPENAI)
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    house.backend.turn.start()
    house.backend.turn.say("word ")
    house.clock.pump([1.0] * 200)
    house.backend.turn.fail(BackendError("dead"))
    house.clock.pump([1.0] * 99)
    assert b"" == wire.sent
    house.clock.pump([1.0] * 2)

    assert ("timeout", True) == (wire.answer().error["code"], house.relay.exchange.cancelled)
    wire.leave()


@WAYS
def test_the_total_limit_of_a_chain(stream: bool) -> None:
    """It bounds all steps, also one that answers."""
    house = chained(CLAUDE, OPENAI, request_total_timeout=600.0)
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=stream))
    house.backend.turn.start()
    for _ in range(599):
        house.backend.turn.say("word ")
        house.clock.advance(1)
    assert not house.backend.turn.cancelled
    house.clock.advance(2)

    assert house.backend.turn.cancelled
    wire.leave()
    assert "timeout" == house.access["error"]
    assert [] == house.relay.exchanges


# -- The timer ----------------------------------------------------------------


def watched(clock: Clock, limits: TimeLimits) -> tuple[IdleTimer, Deferred[None], list[object]]:
    """Work that never ends by itself, its timer, and what came of it."""
    timer, work, came = IdleTimer(clock, limits), Deferred[None](), list[object]()
    timer.bound(work, "It").addErrback(lambda failure: came.append(failure.value))
    return timer, work, came


@given(
    waits=st.lists(st.floats(0.01, 40), max_size=12),
    idle=st.floats(1, 30),
    total=st.sampled_from([0.0, 20.0, 100.0]),
)
def test_the_first_limit_that_is_reached_ends_the_work(waits: list[float], idle: float, total: float) -> None:
    """Whatever the events, the work ends at the first silence that is too long or at the total, and not before."""
    clock = Clock()
    timer, _, came = watched(clock, TimeLimits(idle, total))
    due, now = idle, 0.0
    for wait in waits:
        now += wait
        if now < due:
            due = now + idle
    due = min(due, total or due)
    now = 0.0
    for wait in waits:
        if now + wait >= due:
            break
        clock.advance(wait)
        now += wait
        timer.touch()
        assert came == []
    clock.advance(max(0.0, due - now - 0.01))
    assert came == []
    clock.advance(0.01)
    clock.advance(0.01)

    assert isinstance(came[0], UpstreamTimeout)
    assert [] == clock.getDelayedCalls()


def test_work_that_ends_leaves_no_timer() -> None:
    """Nothing is scheduled for work that is over, or was from the beginning."""
    clock = Clock()
    _, work, came = watched(clock, TimeLimits(10.0, 20.0))
    work.callback(None)
    assert ([], []) == (came, clock.getDelayedCalls())


def test_a_clock_that_is_set_back() -> None:
    """What was silent stays bounded: the silence counts from then on."""
    clock = Clock()
    clock.advance(7200)
    timer, _, came = watched(clock, TimeLimits(10.0))
    clock.rightNow -= 3600
    timer.touch()
    clock.advance(3600 + 10)
    clock.advance(10)

    assert isinstance(came[0], UpstreamTimeout)
