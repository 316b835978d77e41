"""
``Idempotency-Key`` under random load: repeats, ends, failures and departures in any order.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from claudeproxy.config import LimitsConfig, ServerConfig
from claudeproxy.errors import Overloaded
from tests.memory.doubles import Turn
from tests.memory.wire import Answer, House, Wire, chat_body

KEYS = ("tenant-a", "tenant-b")
DAY = 86_400.0

Name = tuple[str, int]
"""A tenant's API key, and the number of its idempotency key."""


@define(eq=False)
class Running:
    """
    A request that has a turn.
    """

    name: Name
    variant: int
    wire: Wire
    turn: Turn


@define(eq=False)
class Crowd:
    """
    Clients that repeat themselves, and what each of them must hear.
    """

    house: House
    running: list[Running] = field(factory=list)
    given: dict[Name, tuple[int, bytes, float]] = field(factory=dict)
    """The last whole answer under a key: to which request, its body, and when."""
    heard: Counter[int] = field(factory=Counter)
    """How repeats were answered."""

    @classmethod
    def make(cls, bound: int) -> Crowd:
        limits = LimitsConfig(rate_limit_per_ip=0, rate_limit_per_session=0, max_concurrent_per_key=0)
        return cls(House(keys=KEYS, limits=limits, server=ServerConfig(idempotency_max_bytes=bound)))

    # -- What happens ---------------------------------------------------------

    def arrive(self, tenant: str, number: int, variant: int) -> None:
        """A client asks; another variant of the request is another request, and streams."""
        name, turns = (tenant, number), len(self.house.backend.turns)
        wire = self.house.connect()
        body = chat_body(stream=bool(variant), user=str(number))
        headers = {"Idempotency-Key": f"k-{number}"}
        wire.send("POST", "/v1/chat/completions", body, headers=headers, key=tenant)
        holder = next((each for each in self.running if each.name == name), None)
        if len(self.house.backend.turns) > turns:
            assert holder is None, "two runs of one key"
            self.running.append(Running(name, variant, wire, self.house.backend.turn))
            self.house.backend.turn.start()
            return
        answer = wire.answer()
        wire.leave()
        self.heard[answer.status] += 1
        if holder is not None:
            assert answer.status == (409 if holder.variant == variant else 400)
            return
        of, told, when = self.given[name]
        assert self.house.clock.seconds() - when < DAY
        if of != variant:
            assert (400, "idempotency_key_reused") == (answer.status, answer.error["code"])
            return
        assert (200, told, True) == (answer.status, answer.body, answer.complete)
        assert "true" == answer.headers["idempotent-replayed"]

    def speak(self, index: int, size: int) -> None:
        """The model says something, at length."""
        if self.running:
            self.running[index % len(self.running)].turn.say("x" * size)

    def end(self, index: int, size: int) -> None:
        """A turn ends well."""
        if self.running:
            ended = self.running.pop(index % len(self.running))
            ended.turn.end()
            answer = self._answer(ended.wire)
            assert answer.complete and "idempotent-replayed" not in answer.headers
            body = answer.body.replace(b": keep-alive\n\n", b"")
            self.given[ended.name] = ended.variant, body, self.house.clock.seconds()

    def fail(self, index: int, size: int) -> None:
        """A turn fails, before its answer or in it."""
        if self.running:
            failed = self.running.pop(index % len(self.running))
            failed.turn.fail(Overloaded("Too much."))
            self.given.pop(failed.name, None)
            if failed.wire.closing:
                failed.wire.close()
            else:
                self._answer(failed.wire)

    def leave(self, index: int, size: int) -> None:
        """A client goes, and its turn with it."""
        if self.running:
            gone = self.running.pop(index % len(self.running))
            gone.wire.leave()
            self.given.pop(gone.name, None)
            assert gone.turn.cancelled
            gone.turn.say("late")

    def wait(self, index: int, size: int) -> None:
        """Hours pass."""
        self.house.clock.advance(size * 10)

    # -- What must hold -------------------------------------------------------

    def check(self, bound: int) -> None:
        """The keys in use are those of the requests that run, and memory is in its bound."""
        store = self.house.app.answers
        assert store.running == len(self.running) == self.house.drain.in_flight
        assert store.bytes <= bound
        kept = [entry.answer for shelf in store._shelves.values() for entry in shelf.kept.values()]
        assert sum(len(answer.body) for answer in kept) < store.bytes or not kept
        assert {answer.body for answer in kept} <= {body for _, body, _ in self.given.values()}

    def _answer(self, wire: Wire) -> Answer:
        answer = wire.answer()
        wire.leave()
        return answer


arrivals = st.tuples(st.just("arrive"), st.sampled_from(KEYS), st.integers(0, 2), st.sampled_from([0, 0, 0, 1]))
others = st.tuples(
    st.sampled_from(["speak", "speak", "end", "end", "end", "fail", "leave", "wait"]),
    st.integers(0, 5),
    st.integers(0, 3000),
)


def test_whatever_happens_nothing_is_done_twice() -> None:
    """No key has two runs, a repeat gets the very bytes of the first, and what is kept stays in its bound."""
    seen = Counter[int]()

    @settings(deadline=None, max_examples=100)
    @given(st.sampled_from([1, 20_000, 50_000, 10**9]), st.lists(arrivals | others, min_size=10, max_size=80))
    def load(bound: int, steps: list[Any]) -> None:
        crowd = Crowd.make(bound)
        for name, *arguments in steps:
            getattr(crowd, name)(*arguments)
            crowd.check(bound)

        while crowd.running:
            crowd.leave(0, 0)
        crowd.check(bound)
        assert 0 == crowd.house.app.answers.running
        assert [] == crowd.house.clock.getDelayedCalls()
        seen.update(crowd.heard)

    load()
    assert {200, 400, 409} <= set(seen), "nothing was repeated"
