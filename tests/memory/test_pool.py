"""
The pool's arithmetic, on processes that exist only in memory.
"""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.pool import Pool, PoolCounts
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.config import load
from claudeproxy.errors import CapacityExceeded, ServerShuttingDown
from tests.memory.processes import Spawner


@define(eq=False)
class Bench:
    """
    A pool and what a random user did with it.
    """

    clock: Clock
    spawner: Spawner
    pool: Pool
    launcher: Launcher
    waiting: list[Deferred[ClaudeProcess]] = field(factory=list)
    working: list[ClaudeProcess] = field(factory=list)
    resting: list[ClaudeProcess] = field(factory=list)
    refused: list[type[Exception]] = field(factory=list)
    behind: float = 0.0
    """How far the clock was set back in all."""

    @classmethod
    def make(cls, places: int, warm: int) -> Bench:
        clock = Clock()
        config = evolve(
            load({}, {"ANTHROPIC_API_KEY": "k", "CLAUDE_PATH": "/bin/true"}).claude,
            max_processes=places,
            warm_processes=min(warm, places),
        )
        spawner = Spawner(clock)
        launcher = Launcher(config, {"PATH": "/usr/bin:/bin"}, "sonnet")
        pool = Pool(config, launcher, spawner, clock, UsageLimits(clock))  # type: ignore[arg-type]
        pool.start()
        return cls(clock, spawner, pool, launcher)

    def take(self, _: int) -> None:
        granted = self.pool.take()
        self.waiting.append(granted)

        def have(process: ClaudeProcess) -> None:
            self.waiting.remove(granted)
            assert process not in self.working, "one process for two conversations"
            self.working.append(process)

        def have_not(failure: Failure) -> None:
            self.waiting.remove(granted)
            failure.trap(CancelledError, CapacityExceeded, ServerShuttingDown)
            self.refused.append(type(failure.value))

        granted.addCallbacks(have, have_not)

    def rest(self, index: int) -> None:
        if self.working:
            process = self.working.pop(index % len(self.working))
            self.resting.append(process)
            self.pool.rest(process, lambda: self.resting.remove(process))

    def wake(self, index: int) -> None:
        if self.resting:
            process = self.resting[index % len(self.resting)]
            if self.pool.wake(process):
                self.resting.remove(process)
                self.working.append(process)

    def discard(self, index: int) -> None:
        if self.working:
            self.pool.discard(self.working.pop(index % len(self.working)))

    def leave(self, index: int) -> None:
        if self.waiting:
            self.waiting[index % len(self.waiting)].cancel()

    def die(self, index: int) -> None:
        if self.spawner.alive:
            self.spawner.alive[index % len(self.spawner.alive)].end()

    def set_back(self, seconds: float) -> None:
        self.clock.rightNow -= seconds
        self.behind += seconds

    def linger(self, index: int) -> None:
        if self.spawner.alive:
            self.spawner.alive[index % len(self.spawner.alive)].exit()

    def check(self, places: int) -> None:
        # One that ended by itself is no longer anybody's; the conversation hears of it by its turn.
        self.working = [process for process in self.working if not process.over]
        counts = self.pool.counts()
        total = counts.waiting + counts.working + counts.resting + counts.ending
        assert total == len(self.spawner.alive) <= places
        assert counts.working == len(self.working)
        assert counts.resting == len(self.resting)
        assert counts.queued == len(self.waiting)


operations = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["take", "take", "rest", "wake", "discard", "leave", "die", "linger"]), st.integers(0, 9)
        ),
        st.tuples(st.just("advance"), st.sampled_from([0.01, 0.05, 0.3, 6.0, 400.0, 86400.0])),
        st.tuples(st.just("set_back"), st.sampled_from([0.5, 3600.0])),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 4), st.integers(0, 3), operations)
def test_whatever_happens_the_limit_holds_and_everything_ends(places: int, warm: int, steps: list[Any]) -> None:
    """
    Through any arrivals, departures, deaths and jumps of the clock no place is exceeded or lost, and after a stop
    nothing is left.
    """
    bench = Bench.make(places, warm)
    for name, argument in steps:
        if name == "advance":
            bench.clock.advance(argument)
        else:
            getattr(bench, name)(argument)
        bench.check(places)

    stopped = bench.pool.stop()
    bench.working.clear()
    bench.clock.pump([bench.behind, *[0.5] * 10])
    assert stopped.called
    assert bench.pool.counts() == PoolCounts(0, 0, 0, 0, 0)
    assert bench.spawner.alive == []
    assert bench.waiting == []
    assert bench.clock.getDelayedCalls() == []
    bench.launcher.clean_up()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 6))
def test_nobody_waits_while_a_place_could_be_had(places: int, warm: int, conversations: int) -> None:
    """As long as turns end in time, every conversation gets its process."""
    bench = Bench.make(places, warm)
    for number in range(conversations):
        bench.take(number)
    for _ in range(conversations):
        bench.clock.advance(0.1)
        while bench.working:
            bench.rest(0)

    assert bench.refused == []
    assert bench.waiting == []
    bench.pool.stop()
    bench.clock.advance(1)
    bench.launcher.clean_up()


def test_a_cli_that_never_starts_is_tried_for_ever() -> None:
    """Once a minute, for a day: when it is mended, the pool is there, with every place."""
    bench = Bench.make(2, 1)
    for _ in range(1100):
        for process in bench.spawner.alive:
            process.end()
        bench.clock.advance(61)
    assert bench.pool.failure is not None
    for _ in range(3):
        bench.clock.advance(61)
    bench.take(0)
    bench.take(0)

    assert len(bench.working) == 2
    assert bench.pool.counts().working == 2
    assert bench.pool.failure is None


def test_a_process_rehearses_what_a_conversation_is_likely_to_need() -> None:
    """Functions, for an hour after one that had some; a daemon that is only talked to does not pay for them."""
    bench = Bench.make(4, 1)
    for with_functions, pause, rehearsed in ((False, 1.0, True), (False, 3600.0, False), (True, 1.0, True)):
        bench.clock.advance(pause)
        bench.pool.take(with_functions=with_functions)
        bench.clock.advance(1)

        assert ("mcp_set_servers" in bench.spawner.processes[-1].asked) == rehearsed
        assert "apply_flag_settings" in bench.spawner.processes[-1].asked
