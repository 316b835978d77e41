"""
The answers that are kept for repeats: whose they are, how long, and how much memory they take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from claudeproxy.core.idempotency import KeptAnswer
from claudeproxy.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from claudeproxy.store.answers import AnswerStore, Run

DAY = 86400.0
ASKED = b"fingerprint"


def answer(body: bytes = b"{}", size: int | None = None) -> KeptAnswer:
    """An answer with this body, or one that takes so many bytes."""
    empty = KeptAnswer(200, ((b"Content-Type", b"application/json"),), b"", "claude-code", "", 1, "sonnet")
    body = body if size is None else bytes(size - empty.size)
    return KeptAnswer(200, empty.headers, body, "claude-code", "", 1, "sonnet")


def run(store: AnswerStore, key: bytes, tenant: str = "t") -> Run:
    """A request that takes its key."""
    found = store.claim(tenant, key, ASKED)
    assert isinstance(found, Run), "it was answered before"
    return found


def keep(store: AnswerStore, key: bytes, size: int = 2000, tenant: str = "t") -> KeptAnswer:
    """A request with an answer to be kept."""
    kept = answer(size=size)
    run(store, key, tenant).keep(kept)
    return kept


def kept(store: AnswerStore, key: bytes, tenant: str = "t") -> KeptAnswer | None:
    """The answer of a key, if there is one."""
    found = store.claim(tenant, key, ASKED)
    if isinstance(found, KeptAnswer):
        return found
    found.release()
    return None


def test_a_repeat(clock: Clock) -> None:
    """A key is in use while its request runs, and has its answer afterwards."""
    store = AnswerStore(clock, DAY, 100_000)
    first = run(store, b"a")
    with pytest.raises(IdempotencyKeyInUse) as raised:
        store.claim("t", b"a", ASKED)
    assert (409, 1.0) == (raised.value.status, raised.value.retry_after)
    first.keep(answer(b'{"id": 1}'))
    first.release()

    assert answer(b'{"id": 1}') == kept(store, b"a") == kept(store, b"a")
    assert 0 == store.running


def test_another_request_with_the_same_key(clock: Clock) -> None:
    """A key stands for one request, while it runs and afterwards."""
    store = AnswerStore(clock, DAY, 100_000)
    first = run(store, b"a")
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused) as raised:
            store.claim("t", b"a", b"other")
        assert (400, "Idempotency-Key") == (raised.value.status, raised.value.param)
        first.keep(answer())


def test_a_key_without_an_answer_is_free(clock: Clock) -> None:
    """After a request that has no answer to keep, the key is free for any request; to say so twice harms nobody."""
    store = AnswerStore(clock, DAY, 100_000)
    first = run(store, b"a")
    first.record(b"half")
    first.release()
    second = store.claim("t", b"a", b"other")
    first.release()
    first.keep(answer())
    first.record(b"late")

    assert isinstance(second, Run)
    assert (1, 0, 0) == (store.running, len(store), store.bytes)
    with pytest.raises(IdempotencyKeyInUse):
        store.claim("t", b"a", b"other")


def test_another_tenants_key_is_another_key(clock: Clock) -> None:
    """The same key of two tenants are two keys."""
    store = AnswerStore(clock, DAY, 100_000)
    keep(store, b"a")
    other = run(store, b"a", "other")
    other.keep(answer(b"other"))

    assert answer(b"other") == kept(store, b"a", "other") != kept(store, b"a")


@pytest.mark.parametrize("later", [DAY, 2 * DAY, -DAY])
def test_an_answer_expires(clock: Clock, later: float) -> None:
    """An answer is kept for its time and no longer, also when the system's time is set, and then it takes no memory."""
    clock.rightNow = 10 * DAY
    store = AnswerStore(clock, DAY, 100_000)
    keep(store, b"a")
    clock.advance(DAY - 1)
    assert kept(store, b"a") is not None
    clock.rightNow = 10 * DAY + later
    run(store, b"b", "other").release()

    assert (0, 0) == (len(store), store.bytes)
    assert kept(store, b"a") is None


def test_an_expired_answer_behind_a_younger_one(clock: Clock) -> None:
    """Time that was set back between two answers does not let the second live longer."""
    store = AnswerStore(clock, DAY, 100_000)
    clock.rightNow = 3 * DAY
    keep(store, b"younger")
    clock.rightNow = 2.5 * DAY
    keep(store, b"older")
    clock.rightNow = 3.7 * DAY

    assert (None, True) == (kept(store, b"older"), kept(store, b"younger") is not None)
    assert 2000 == store.bytes


def test_the_oldest_answer_makes_room(clock: Clock) -> None:
    """When memory is full, the oldest answers go, as many as must."""
    store = AnswerStore(clock, DAY, 20_000)
    for number in range(16):
        keep(store, b"%d" % number, 1200)
    assert (16, 19_200) == (len(store), store.bytes)
    keep(store, b"last", 2500)

    assert [True, True, False, False] == [kept(store, key) is None for key in (b"0", b"1", b"2", b"last")]


def test_nobody_pushes_out_the_answers_of_others(clock: Clock) -> None:
    """Whoever has most makes room, however old the answers of the others are."""
    store = AnswerStore(clock, DAY, 20_000)
    keep(store, b"a", 2400, "modest")
    for number in range(20):
        keep(store, b"%d" % number, 2400, "greedy")

    assert kept(store, b"a", "modest") is not None
    assert 8 == len(store)


def test_an_answer_that_is_too_large(clock: Clock) -> None:
    """An answer above an eighth of all memory is not kept and pushes nobody out; its key is free."""
    store = AnswerStore(clock, DAY, 20_000)
    keep(store, b"a")
    keep(store, b"b", 2501)
    large = run(store, b"c")
    large.record(bytes(2500))
    assert 2500 == len(large.body or b"")
    large.record(b"x")
    large.record(b"y")
    assert (None, 2000) == (large.body, store.bytes)
    large.release()

    assert [False, True, True] == [kept(store, key) is None for key in (b"a", b"b", b"c")]


def test_what_is_being_recorded_counts(clock: Clock) -> None:
    """Answers make room for one that is on its way; where there is none to go, what is on its way is given up."""
    store = AnswerStore(clock, DAY, 20_000)
    keep(store, b"old")
    runs = [run(store, b"%d" % number) for number in range(9)]
    for each in runs[:8]:
        each.record(bytes(2400))
    assert (19_200, 0) == (store.bytes, len(store))
    runs[8].record(bytes(2000))
    assert runs[8].body is None
    for each in runs:
        each.release()

    assert (0, 0) == (store.bytes, store.running)


def measured(store: AnswerStore, runs: list[Run]) -> int:
    """What is kept and recorded, counted anew."""

    def sizes() -> Iterator[int]:
        for shelf in store._shelves.values():
            assert shelf.kept or shelf.running, "an empty shelf"
            yield from (entry.answer.size for entry in shelf.kept.values())

    return sum(sizes()) + sum(len(each.body or b"") for each in runs)


steps = st.tuples(
    st.sampled_from(["claim", "claim", "record", "record", "keep", "release", "wait"]),
    st.sampled_from("ab"),
    st.integers(0, 1),
    st.integers(0, 3000),
)


@given(st.integers(0, 20_000), st.lists(steps, min_size=20, max_size=80))
def test_whatever_happens_memory_is_bounded(bound: int, steps: list[Any]) -> None:
    """No key has two runs, a kept answer is the one that was given, and the count of bytes is true and in its bound."""
    clock = Clock()
    store = AnswerStore(clock, 10.0, bound)
    runs: dict[tuple[str, bytes], Run] = {}
    given: dict[tuple[str, bytes], KeptAnswer] = {}
    for what, tenant, number, size in steps:
        key = b"%d" % number
        name = (tenant, key)
        if what == "wait":
            clock.advance(size / 500)
        elif what == "claim":
            try:
                found = store.claim(tenant, key, ASKED)
            except IdempotencyKeyInUse:
                assert name in runs
            else:
                assert name not in runs
                if isinstance(found, Run):
                    runs[name] = found
                else:
                    assert given[name] == found
        elif name in runs and what == "record":
            runs[name].record(bytes(size))
        elif name in runs and what == "keep":
            given[name] = answer(b"%d" % size * 500)
            runs.pop(name).keep(given[name])
        elif name in runs:
            runs.pop(name).release()
        assert store.running == len(runs)
        assert measured(store, list(runs.values())) == store.bytes <= bound
