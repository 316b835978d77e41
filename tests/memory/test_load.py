"""
The whole daemon under random load: real limits, real pool, real web side; only the processes are of memory.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, evolve, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.backends.claude.backend import ClaudeBackend
from claudeproxy.config import Config, LimitsConfig, load
from claudeproxy.service import claude_backend
from claudeproxy.store.sessions import MemorySessionStore
from claudeproxy.wire.claude_cli import Misshapen
from tests.guard import LoggedFailures
from tests.memory.processes import Process, Spawner
from tests.memory.wire import House, Wire, chat_body

KEYS = ("key-a", "key-b")
ALLOWED = {200, 404, 409, 429, 502, 503, 504}
"""What a client may hear. The requests are all well formed."""


@define(eq=False)
class Crowd:
    """
    Clients, and what they did.
    """

    house: House
    backend: ClaudeBackend
    spawner: Spawner
    config: Config
    wires: list[tuple[str, Wire]] = field(factory=list)
    """Those who wait for the rest of an answer, with their key."""
    statuses: Counter[int] = field(factory=Counter)
    sessions: list[str] = field(factory=list)

    @classmethod
    def make(cls, places: int, at_once: int) -> Crowd:
        clock = Clock()
        clock.advance(1_000_000)
        config = load({}, {"ANTHROPIC_API_KEY": "k", "CLAUDE_PATH": "/bin/true"})
        claude = evolve(config.claude, max_processes=places, warm_processes=min(1, places), request_timeout=30.0)
        config = evolve(config, claude=claude)
        spawner = Spawner(clock)
        sessions = MemorySessionStore(clock, 3600.0, 86400.0, 10_000)
        backend = claude_backend(clock, spawner, config, {"PATH": "/bin"}, sessions)  # type: ignore[arg-type]
        limits = LimitsConfig(rate_limit_per_ip=0, rate_limit_per_session=4, max_concurrent_per_key=at_once)
        house = House(clock=clock, keys=KEYS, limits=limits, backend=backend, claude=claude)
        backend.start()
        return cls(house, backend, spawner, config)

    # -- What happens ---------------------------------------------------------

    def arrive(self, key: str, stream: bool, session: int) -> None:
        """A client asks, perhaps in a session that it was given, perhaps in somebody else's."""
        headers = {}
        if session and self.sessions:
            headers["X-Claude-Session-ID"] = self.sessions[session % len(self.sessions)]
        wire = self.house.connect()
        wire.send("POST", "/v1/chat/completions", chat_body(stream=stream), headers, key=key)
        self.wires.append((key, wire))

    def leave(self, index: int) -> None:
        """A client goes."""
        if self.wires:
            _, wire = self.wires.pop(index % len(self.wires))
            wire.leave()

    def answer(self, index: int) -> None:
        """The model answers."""
        for process in self._asked(index):
            process.answer("word")

    def refuse(self, index: int) -> None:
        """The API is overloaded."""
        for process in self._asked(index):
            process.refuse(529)

    def babble(self, index: int) -> None:
        """A process breaks its protocol in the middle of a turn."""
        for process in self._asked(index):
            process.protocol.childDataReceived(1, b'garbage\n{"type":"result"}\n')

    def die(self, index: int) -> None:
        """A process dies."""
        alive = self.spawner.alive
        if alive:
            alive[index % len(alive)].end()

    def linger(self, index: int) -> None:
        """A process exits, and something holds its pipes."""
        alive = self.spawner.alive
        if alive:
            alive[index % len(alive)].exit()

    def break_down(self, index: int) -> None:
        """Processes cannot be started for a while, or can again."""
        self.spawner.broken = not self.spawner.broken

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.house.clock.advance(seconds)

    # -- What must hold -------------------------------------------------------

    def look(self) -> None:
        """Take note of the complete answers; their clients go."""
        for entry in list(self.wires):
            _, wire = entry
            if not wire.sent:
                continue
            sent = wire.sent
            answer = wire.answer()
            if not answer.complete and not wire.closing:
                # A stream that waits has its head, and comments that keep it alive.
                assert not answer.body.replace(b": keep-alive\n\n", b"")
                wire.transport.clear()
                wire.transport.write(sent)
                continue
            self.statuses[answer.status] += 1
            if "x-claude-session-id" in answer.headers:
                self.sessions.append(answer.headers["x-claude-session-id"])
            self.wires.remove(entry)
            wire.leave()

    def check(self) -> None:
        """No count exceeds its limit, none is lost, and each is what there is."""
        counts = self.backend._pool.counts()
        total = counts.waiting + counts.working + counts.resting + counts.ending
        assert total == len(self.spawner.alive) <= self.config.claude.max_processes
        inside = Counter(self.house.admission.running)
        assert max(inside.values(), default=0) <= self.house.limits.max_concurrent_per_key
        assert sum(inside.values()) == self.house.drain.in_flight == len(self.wires)
        assert counts.working + counts.queued <= len(self.wires)

    def _asked(self, index: int) -> list[Process]:
        asked = [process for process in self.spawner.alive if process.turns and not process.exited]
        return [asked[index % len(asked)]] if asked else []


arrivals = st.tuples(st.just("arrive"), st.sampled_from(KEYS), st.booleans(), st.integers(0, 5))
others = st.tuples(
    st.sampled_from(["leave", "answer", "answer", "refuse", "babble", "die", "linger", "break_down"]),
    st.integers(0, 9),
)
pauses = st.tuples(st.just("wait"), st.sampled_from([0.02, 0.3, 6.0, 40.0]))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.integers(1, 4), at_once=st.integers(1, 3), steps=st.lists(arrivals | others | pauses, max_size=80))
def test_whatever_happens_every_place_comes_back(
    places: int, at_once: int, steps: list[Any], logged_failures: LoggedFailures
) -> None:
    """Through arrivals, departures, deaths and breakdowns no limit is exceeded, and afterwards nothing is taken."""
    crowd = Crowd.make(places, at_once)
    for name, *arguments in steps:
        getattr(crowd, name)(*arguments)
        crowd.look()
        crowd.check()

    crowd.spawner.broken = False
    crowd.wait(31.0)
    crowd.look()
    crowd.check()
    assert crowd.wires == []
    assert crowd.house.admission.running == {}
    assert crowd.house.drain.in_flight == 0
    assert set(crowd.statuses) <= ALLOWED
    counts = crowd.backend._pool.counts()
    assert (counts.working, counts.queued) == (0, 0)
    assert not [session for session in crowd.sessions if session in crowd.backend._locks]

    stopped = crowd.backend.stop()
    for channel in tuple(crowd.house.site.channels):
        channel.connectionLost()
    crowd.house.clock.pump([0.5] * 10)
    assert stopped.called
    assert crowd.spawner.alive == []
    assert crowd.house.clock.getDelayedCalls() == []
    logged_failures.flush(OSError, Misshapen)
