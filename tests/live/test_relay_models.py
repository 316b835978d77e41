"""
The upstream's list of models.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.relaying import KEY, LiveRelay

Make = Callable[..., LiveRelay]


@pytest_twisted.async_yield_fixture
async def relay_to(stub_openai: StubOpenAI, clock: Clock) -> AsyncIterator[Make]:
    """Makes relays to the stub, with timers that the test moves."""
    made: list[LiveRelay] = []

    def make(**settings: object) -> LiveRelay:
        live = LiveRelay.to(reactor, stub_openai.base_url, clock=clock, **settings)  # type: ignore[arg-type]
        made.append(live)
        return live

    yield make
    for live in made:
        await live.stop()


def listing(*ids: str) -> RawAnswer:
    """A list of models."""
    return RawAnswer.json({"object": "list", "data": [{"id": each, "vendor": True} for each in ids]})


@pytest_twisted.ensureDeferred
async def test_the_list_is_kept_for_five_minutes(stub_openai: StubOpenAI, clock: Clock, relay_to: Make) -> None:
    """Entries come as the upstream wrote them, with its key asked for, and once in five minutes."""
    stub_openai.script("/v1/models", listing("a", "b"), listing("c"))
    relay = relay_to().relay

    assert await relay.upstream_models() == ({"id": "a", "vendor": True}, {"id": "b", "vendor": True})
    clock.advance(299)
    assert len(await relay.upstream_models()) == 2
    assert [each.headers["authorization"] for each in stub_openai.requests] == [f"Bearer {KEY}"]

    clock.advance(2)
    assert await relay.upstream_models() == ({"id": "c", "vendor": True},)


@pytest_twisted.ensureDeferred
async def test_many_ask_and_one_request_goes_out(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Who waits has a Deferred of their own: one that gives up takes nothing from the others."""
    stub_openai.script("/v1/models", listing("a"))
    relay = relay_to().relay
    first, second, third = (relay.upstream_models() for _ in range(3))

    first.cancel()

    with pytest.raises(CancelledError):
        await first
    assert await second == await third == ({"id": "a", "vendor": True},)
    assert len(stub_openai.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer.json({"error": {}}, status=401),
        RawAnswer.json({"data": "?"}),
        RawAnswer.json([]),
        RawAnswer(200, (), (b"<html>", End.CLOSE)),
        RawAnswer(None, (), (End.CLOSE,)),
        RawAnswer(200, (), (b"x" * 65536,) * 80, chunked=True),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_list_that_is_not_to_be_had(
    stub_openai: StubOpenAI, clock: Clock, relay_to: Make, answer: RawAnswer
) -> None:
    """What was known stays known; the upstream is asked again after half a minute."""
    stub_openai.script("/v1/models", listing("a"), answer, listing("b"))
    relay = relay_to().relay
    known = await relay.upstream_models()
    clock.advance(301)

    assert await relay.upstream_models() == known
    asked = len(stub_openai.requests)
    assert await relay.upstream_models() == known
    assert len(stub_openai.requests) == asked

    clock.advance(31)
    assert await relay.upstream_models() == ({"id": "b", "vendor": True},)


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_takes_its_time(stub_openai: StubOpenAI, clock: Clock, relay_to: Make) -> None:
    """Nobody waits longer than five seconds for the list."""
    stub_openai.script("/v1/models", RawAnswer(None, (), (End.STALL,)))
    arrived, departed = stub_openai.next_request(), stub_openai.next_departure()
    waiting = relay_to().relay.upstream_models()
    await arrived

    clock.advance(5)

    assert await waiting == ()
    await departed


@pytest.mark.parametrize(
    ("settings", "health"),
    [
        ({"enabled": False}, "disabled"),
        ({"api_key": None, "base_url_given": False}, "no_key"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_upstream(stub_openai: StubOpenAI, relay_to: Make, settings: dict[str, object], health: str) -> None:
    """Without an upstream there is no list, nobody is asked, and health says why."""
    relay = relay_to(**settings).relay

    assert await relay.upstream_models() == ()
    assert relay.health().status == health
    assert stub_openai.requests == []


@pytest_twisted.ensureDeferred
async def test_an_upstream(relay_to: Make) -> None:
    """A key, or an upstream that the operator named, is enough for health."""
    assert relay_to().relay.health().status == "ok"
    assert relay_to(api_key=None).relay.health().status == "ok"
    assert relay_to(base_url_given=False).relay.health().status == "ok"
