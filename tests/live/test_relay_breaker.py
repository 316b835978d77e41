"""
The circuit breaker of an upstream, on real sockets.
"""

from __future__ import annotations

from functools import partial

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from claudeproxy.errors import BackendUnavailable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.relaying import Make, MemorySink, busy, chat, free_port, outcome, post, state, until, waits

CHAT = "/v1/chat/completions"


@pytest.fixture
def relay_to(relay_to: Make) -> Make:
    """Makes relays to the stub that try once more."""
    return partial(relay_to, retries=1)


@pytest_twisted.ensureDeferred
async def test_the_breaker(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """After so many failures in a row the upstream is not asked for a while; then one request decides."""
    clock = Clock()
    relay = relay_to(clock=clock, retries=0, breaker_failures=3)
    stub_openai.script(CHAT, *[busy()] * 4)
    assert ["503"] * 3 == [await outcome(relay) for _ in range(3)]
    assert ("open", 3) == state(relay)

    clock.advance(4)
    with pytest.raises(BackendUnavailable, match="openai failed 3 times") as caught:
        await relay.send(chat())
    assert (6.0, 3) == (caught.value.retry_after, len(stub_openai.requests))

    clock.advance(6)
    assert ("half_open", 3) == state(relay)
    assert "503" == await outcome(relay)
    assert ("open", 4) == state(relay)

    clock.advance(10)
    assert "200" == await outcome(relay)
    assert ("closed", 0) == state(relay)


@pytest_twisted.ensureDeferred
async def test_one_request_decides(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """While one request tries, the others are not let through; when its client leaves, the next one may."""
    clock = Clock()
    relay = relay_to(clock=clock, retries=0, breaker_failures=1)
    stub_openai.script(CHAT, busy())
    await outcome(relay)
    clock.advance(10)
    arrived: Deferred[object] = stub_openai.next_request()  # type: ignore[assignment]
    trying = relay.send(chat("[[stub mute]]"))
    await arrived
    assert ["backend_unavailable"] * 3 == [await outcome(relay) for _ in range(3)]
    trying.cancel()
    with pytest.raises(CancelledError):
        await trying

    assert "200" == await outcome(relay)
    assert ("closed", 0) == state(relay)


@pytest_twisted.ensureDeferred
async def test_a_long_stream_decides_with_its_head(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """The upstream is well again when it begins to answer, not when the answer ends."""
    clock, gate = Clock(), Deferred[None]()
    relay = relay_to(clock=clock, retries=0, breaker_failures=1)
    stub_openai.script(CHAT, busy(), RawAnswer(200, (), (b"a", gate), chunked=True))
    await outcome(relay)
    clock.advance(10)
    sink = MemorySink()
    arrived, streaming = sink.after(1), relay.send(chat(), sink)
    await arrived

    assert ("closed", 0) == state(relay)
    gate.callback(None)
    await streaming


@pytest_twisted.ensureDeferred
async def test_no_try_at_an_upstream_that_is_shut(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """When the breaker opens while a request waits for its next try, its last answer goes out and nobody is asked."""
    clock = Clock()
    stub_openai.script(CHAT, busy(Retry_After="3"), busy(Retry_After="99"))
    relay = relay_to(clock=clock, breaker_failures=1)
    waiting = MemorySink()
    relayed = relay.send(chat(), waiting)
    await until(reactor, lambda: waits(clock, 3.0))
    assert "503" == await outcome(relay)
    assert ("open", 1) == state(relay)
    clock.advance(3)
    await relayed

    assert (503, 1, 2) == (waiting.status, waiting.tries, len(stub_openai.requests))
    assert ("open", 1) == state(relay)


@pytest_twisted.ensureDeferred
async def test_the_breaker_counts_requests(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A request that fails however often is one failure; one whose next try is answered is none."""
    stub_openai.script(CHAT, *[busy()] * 4)
    relay = relay_to(retries=2, retry_wait=0.01, breaker_failures=2)
    assert "503" == await outcome(relay)
    assert (3, ("closed", 1)) == (len(stub_openai.requests), state(relay))

    assert "200" == await outcome(relay)
    assert (5, ("closed", 0)) == (len(stub_openai.requests), state(relay))


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_a_failing_upstream(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A failure counts also when its client leaves before the next try."""
    clock = Clock()
    stub_openai.script(CHAT, busy(Retry_After="3"))
    relay = relay_to(clock=clock, breaker_failures=1)
    relayed = relay.send(chat())
    await until(reactor, lambda: waits(clock, 3.0))
    assert ("closed", 0) == state(relay)
    relayed.cancel()
    with pytest.raises(CancelledError):
        await relayed

    assert ("open", 1) == state(relay)


@pytest.mark.parametrize(
    ("method", "path", "failures"),
    [
        (b"GET", "/bad", 0),
        (b"POST", "/files", 0),
        (b"GET", "/chat/completions", 0),
        (b"POST", "/responses", 3),
        (b"POST", "/messages?beta=true", 3),
        (b"POST", "/embeddings", 3),
    ],
)
@pytest.mark.parametrize("answer", [busy(503), busy(521), RawAnswer(None, (), (End.STALL,))])
@pytest_twisted.ensureDeferred
async def test_whose_failures_count(
    stub_openai: StubOpenAI, relay_to: Make, answer: RawAnswer, method: bytes, path: str, failures: int
) -> None:
    """A path that is not served, or slowly, shuts the upstream for nobody; one where a model is asked does."""
    stub_openai.script(f"/v1{path.partition('?')[0]}", *[answer] * 3)
    relay = relay_to(retries=0, breaker_failures=3, first_byte_timeout=0.05)
    request = evolve(post(path, b"{}"), method=method)
    codes = {await outcome(relay, request) for _ in range(3)}

    assert 1 == len(codes) and codes <= {"503", "521", "timeout"}
    assert ("open" if failures else "closed", failures) == state(relay)


@pytest_twisted.ensureDeferred
async def test_a_connection_counts_on_any_path(relay_to: Make) -> None:
    """An upstream that nobody reaches is shut, whatever it was to do."""
    relay = relay_to(base_url=f"http://127.0.0.1:{free_port()}/v1", retries=0, breaker_failures=2)

    assert ["connection_error"] * 2 == [await outcome(relay, post("/files", b"{}")) for _ in range(2)]
    assert ("open", 2) == state(relay)


@pytest_twisted.ensureDeferred
async def test_our_own_listing_does_not_count(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """An upstream without a list of models, or out of reach for it, is not shut for that."""
    for settings in ({}, {"base_url": f"http://127.0.0.1:{free_port()}/v1"}):
        stub_openai.script("/v1/models", busy())
        relay = relay_to(retries=0, breaker_failures=1, **settings)
        assert () == await relay.relay.upstream_models()
        assert ("closed", 0) == state(relay)


@pytest.mark.parametrize(
    ("directive", "settings", "failures"),
    [
        ("status=502", {}, 1),
        ("status=529", {}, 1),
        ("status=521", {}, 1),
        ("mute", {"first_byte_timeout": 0.05}, 1),
        ("mute", {"request_timeout": 0.05}, 1),
        ("status=429", {}, 0),
        ("status=500", {}, 0),
        ("status=400", {}, 0),
        ("text=well", {}, 0),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_breaker_counts(
    relay_to: Make, directive: str, settings: dict[str, float], failures: int
) -> None:
    """It counts what says that the upstream as a whole is not well, and no odd requests of one client."""
    relay = relay_to(retries=0, **settings)
    await outcome(relay, chat(f"[[stub {directive}]]"))

    assert ("closed", failures) == state(relay)


@pytest_twisted.ensureDeferred
async def test_the_breaker_counts_connections(relay_to: Make) -> None:
    """An upstream that refuses connections is shut, too."""
    relay = relay_to(base_url=f"http://127.0.0.1:{free_port()}/v1", breaker_failures=2)

    assert ["connection_error"] * 2 == [await outcome(relay) for _ in range(2)]
    assert ("open", 2) == state(relay)
    assert "backend_unavailable" == await outcome(relay)


@pytest_twisted.ensureDeferred
async def test_a_clients_own_key_and_the_breaker(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A request with a key of the client's is neither counted nor kept from the upstream."""
    relay = relay_to(retries=0, breaker_failures=2)
    stub_openai.script(CHAT, *[busy()] * 5)
    own = chat(client_key="sk-own")
    assert ["503"] * 3 == [await outcome(relay, own) for _ in range(3)]
    assert ("closed", 0) == state(relay)

    assert ["503", "503", "backend_unavailable"] == [await outcome(relay) for _ in range(3)]
    assert "200" == await outcome(relay, own)
    assert ("open", 2) == state(relay)


@pytest_twisted.ensureDeferred
async def test_no_breaker(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """UPSTREAM_BREAKER_FAILURES=0 is no breaker."""
    stub_openai.script(CHAT, *[busy()] * 20)
    relay = relay_to(retries=0, breaker_failures=0)

    assert ["503"] * 20 == [await outcome(relay) for _ in range(20)]
    assert "closed" == state(relay)[0]
