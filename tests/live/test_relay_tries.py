"""
The tries of one request at one upstream, on real sockets.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from claudeproxy.core.relay import Refusal
from claudeproxy.errors import BackendAuthFailed, BackendError, UpstreamTimeout, UpstreamUnreachable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, Pause, RawAnswer
from tests.live.relaying import Make, MemorySink, busy, chat, free_port, outcome, post, state, until, waits

CHAT = "/v1/chat/completions"
IDEMPOTENT = ((b"idempotency-key", b"1"),)


@pytest.fixture
def relay_to(relay_to: Make) -> Make:
    """Makes relays to the stub that try once more."""
    return partial(relay_to, retries=1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
@pytest_twisted.ensureDeferred
async def test_another_try(stub_openai: StubOpenAI, relay_to: Make, status: int, stream: bool) -> None:
    """An answer that another try may better is not passed on; the same bytes go out again, on the same connection."""
    stub_openai.script(CHAT, busy(status))
    sink = await relay_to().answer(chat("[[stub text=well]]", stream=stream))

    assert (200, 2) == (sink.status, sink.tries)
    assert b"well" in sink.body and b"busy" not in sink.body
    first, second = stub_openai.requests
    assert (first.raw_body, first.headers) == (second.raw_body, second.headers)
    assert 1 == stub_openai.connections


@pytest.mark.parametrize("retries", [0, 2])
@pytest_twisted.ensureDeferred
async def test_the_last_answer_is_passed_on(stub_openai: StubOpenAI, relay_to: Make, retries: int) -> None:
    """When there is no further try, the upstream's answer goes out as it came, headers included."""
    answers = [busy(429, b"%d" % number, Retry_After="0", X_Odd=str(number)) for number in range(retries + 1)]
    stub_openai.script(CHAT, *answers)
    sink = await relay_to(retries=retries).answer(chat())

    assert (429, b"%d" % retries, retries + 1) == (sink.status, sink.body, sink.tries)
    assert ([b"0"], [b"%d" % retries]) == (sink.header(b"retry-after"), sink.header(b"x-odd"))


@pytest.mark.parametrize(
    "answer",
    [RawAnswer(None, (), (End.CLOSE,)), RawAnswer(200, ((b"Content-Length", b"9"),), (End.CLOSE,))],
    ids=["no answer", "half an answer"],
)
@pytest_twisted.ensureDeferred
async def test_a_broken_connection(stub_openai: StubOpenAI, relay_to: Make, answer: RawAnswer) -> None:
    """A connection that breaks before the client has been sent anything is worth another try."""
    stub_openai.script(CHAT, answer)
    sink = await relay_to().answer(chat("[[stub text=well]]"))

    assert (200, 2) == (sink.status, sink.tries)
    assert b"well" in sink.body


@pytest_twisted.ensureDeferred
async def test_no_other_try_after_the_first_byte(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Once the client has a byte of an answer, no other answer follows it."""
    stub_openai.script(CHAT, RawAnswer(200, ((b"Content-Length", b"9"),), (b"{", End.CLOSE)))
    sink = MemorySink()
    with pytest.raises(UpstreamUnreachable, match="in the middle"):
        await relay_to().send(chat(), sink)

    assert (b"{", 1, 1) == (sink.body, sink.tries, len(stub_openai.requests))


@pytest.mark.parametrize("status", [400, 403, 404, 408, 501])
@pytest_twisted.ensureDeferred
async def test_what_is_not_tried_again(stub_openai: StubOpenAI, relay_to: Make, status: int) -> None:
    """An answer that will be the same the next time goes out at once."""
    stub_openai.script(CHAT, busy(status))

    assert (status, 1) == ((sink := await relay_to().answer(chat())).status, sink.tries)


@pytest.mark.parametrize(
    ("answer", "headers", "tries"),
    [
        (busy(503), (), 1),
        (busy(503), IDEMPOTENT, 1),
        (RawAnswer(200, ((b"Content-Length", b"9"),), (End.CLOSE,)), IDEMPOTENT, 1),
        (RawAnswer(None, (), (End.CLOSE,)), (), 1),
        (RawAnswer(None, (), (End.CLOSE,)), IDEMPOTENT, 2),
    ],
    ids=["refused", "refused with a key", "half an answer", "broken", "broken with a key"],
)
@pytest.mark.parametrize(("path", "creates"), [("/files", False), ("/chat/completions", True)])
@pytest_twisted.ensureDeferred
async def test_what_creates_something(
    stub_openai: StubOpenAI,
    relay_to: Make,
    answer: RawAnswer,
    path: str,
    creates: bool,
    headers: tuple[tuple[bytes, bytes], ...],
    tries: int,
) -> None:
    """
    An upload, or a chat that is stored, is not sent twice, unless nobody answered and its client says that this is
    harmless; then the file is read again.
    """
    stub_openai.script(f"/v1{path}", answer)
    sink = MemorySink()
    try:
        await relay_to().send(post(path, BytesIO(b"x" * 200_000), headers=headers, creates=creates), sink)
    except UpstreamUnreachable:
        assert tries == 1

    assert (tries, tries) == (sink.tries, len(stub_openai.requests))
    assert {b"x" * 200_000} == {request.raw_body for request in stub_openai.requests}


@pytest_twisted.ensureDeferred
async def test_a_refused_connection(relay_to: Make) -> None:
    """A refused connection is tried again whatever the request is, since nothing of it was sent."""
    sink = MemorySink()
    with pytest.raises(UpstreamUnreachable, match="refused"):
        await relay_to(base_url=f"http://127.0.0.1:{free_port()}/v1", retries=2).send(post("/files", b"{}"), sink)

    assert 3 == sink.tries


@pytest_twisted.ensureDeferred
async def test_the_wait(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Before each try there is a wait: jitter that doubles, or what the upstream asks for when that is longer."""
    clock = Clock()
    stub_openai.script(CHAT, busy(), busy(), busy(Retry_After="3"))
    relayed = relay_to(clock=clock, retries=3, random=lambda: 0.8).send(chat())

    for number, wait in enumerate((0.2, 0.4, 3.0), 1):
        await until(reactor, lambda: waits(clock, wait))  # noqa: B023
        assert number == len(stub_openai.requests)
        clock.advance(wait)
    await relayed
    assert 4 == len(stub_openai.requests)


@pytest_twisted.ensureDeferred
async def test_too_long_a_wait(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """When the upstream asks for a longer wait than is allowed, or than is left, its answer goes out at once."""
    for settings in ({"retry_wait": 4.9}, {"request_timeout": 4.0}):
        stub_openai.script(CHAT, busy(429, b"later", Retry_After="5"))
        sink = await relay_to(**settings).answer(chat())
        assert (429, b"later", 1) == (sink.status, sink.body, sink.tries)


@pytest_twisted.ensureDeferred
async def test_leaving_during_a_wait(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A client that leaves during a wait is not waited for."""
    clock = Clock()
    stub_openai.script(CHAT, busy(Retry_After="3"))
    relayed = relay_to(clock=clock, idle_timeout=99.0).send(chat())
    await until(reactor, lambda: waits(clock, 3.0))
    relayed.cancel()

    with pytest.raises(CancelledError):
        await relayed
    assert not waits(clock, 3.0)
    assert 1 == len(stub_openai.requests)


@pytest_twisted.ensureDeferred
async def test_a_timer_is_not_tried_again(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Who took too long to answer is not waited for once more."""
    sink = MemorySink()
    with pytest.raises(UpstreamTimeout, match="first byte"):
        await relay_to(first_byte_timeout=0.1).send(chat("[[stub mute]]"), sink)

    assert 1 == sink.tries


@pytest_twisted.ensureDeferred
async def test_a_refusal_for_who_stands_by(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """When another backend stands by, the answer comes back whole instead of going out; a good one goes out as ever."""
    stub_openai.script(CHAT, busy(), busy(529, b"full", X_Odd="a"))
    relay, sink = relay_to(), MemorySink()
    request = chat("[[stub text=well]]", hands_over=True)
    refusal = await relay.send(request, sink)

    assert isinstance(refusal, Refusal)
    assert (529, b"full", True) == (refusal.status, refusal.body, (b"X-Odd", b"a") in refusal.headers)
    assert (None, b"", 2) == (sink.status, sink.body, sink.tries)
    sink = await relay.answer(request)
    assert (200, True) == (sink.status, b"well" in sink.body)


@pytest_twisted.ensureDeferred
async def test_a_refusal_that_takes_its_time(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """The timer for the first byte does not run over the body of an error, nor over the wait for the next try."""
    slow = RawAnswer(503, ((b"Retry-After", b"1"), (b"Content-Length", b"2")), (b"x", Pause(0.6), b"y"))
    stub_openai.script(CHAT, slow)
    sink = await relay_to(first_byte_timeout=0.4).answer(chat("[[stub text=well]]"))

    assert (200, 2) == (sink.status, sink.tries)


@pytest.mark.parametrize("hands_over", [False, True])
@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "openai refused this server's key for it. The operator must check OPENAI_API_KEY."),
        ({"name": "deepseek"}, "deepseek refused .* must check api_key of .upstreams.deepseek.."),
        ({"api_key": None}, "asks for a key, and this server has none for it. The operator must set OPENAI_API_KEY."),
    ],
    ids=["openai", "table", "no key"],
)
@pytest_twisted.ensureDeferred
async def test_our_key_is_refused(
    stub_openai: StubOpenAI, relay_to: Make, settings: dict[str, object], hint: str, hands_over: bool
) -> None:
    """A 401 to a key that is not the client's is none of the client's: it hears who must do what, and no more."""
    stub_openai.script(CHAT, busy(401, b"Incorrect API key provided: sk-up****eam", WWW_Authenticate="Bearer"))
    relay, sink = relay_to(breaker_failures=1, **settings), MemorySink()
    with pytest.raises(BackendAuthFailed, match=hint) as caught:
        await relay.send(chat(hands_over=hands_over), sink)

    assert (502, True, "sk-up" in caught.value.message) == (caught.value.status, caught.value.permanent, False)
    assert (None, [], 1, ("closed", 0)) == (sink.status, sink.chunks, sink.tries, state(relay))
    assert "200" == await outcome(relay)
    assert 1 == stub_openai.connections


@pytest_twisted.ensureDeferred
async def test_a_401_without_end(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A 401 whose body is too long is one all the same."""
    stub_openai.script(CHAT, RawAnswer(401, (), (b"x" * 140_000, b"x" * 140_000, End.STALL), chunked=True))
    with pytest.raises(BackendAuthFailed):
        await relay_to().send(chat())


@pytest_twisted.ensureDeferred
async def test_a_clients_own_key_is_refused(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """A 401 to the client's own key is the client's, as it came."""
    stub_openai.script(CHAT, busy(401, b"Incorrect API key", WWW_Authenticate="Bearer"))
    sink = await relay_to().answer(chat(client_key="sk-own"))

    assert (401, b"Incorrect API key", [b"Bearer"]) == (sink.status, sink.body, sink.header(b"www-authenticate"))


@pytest.mark.parametrize("status", [501, 520, 522, 526, 530])
@pytest_twisted.ensureDeferred
async def test_a_refusal_that_is_final_here(stub_openai: StubOpenAI, relay_to: Make, status: int) -> None:
    """What no other try at this upstream would mend, another backend may; alone it goes out at once."""
    stub_openai.script(CHAT, busy(status), busy(status))
    sink, relay = MemorySink(), relay_to()
    refusal = await relay.send(chat(hands_over=True), sink)

    assert isinstance(refusal, Refusal)
    assert (status, 1, None) == (refusal.status, sink.tries, sink.status)
    alone = await relay.answer(chat())
    assert (status, 1) == (alone.status, alone.tries)


@pytest.mark.parametrize(
    ("answer", "clock"),
    [
        (RawAnswer(503, (), (b"x" * 140_000, b"x" * 140_000, End.STALL), chunked=True), Clock()),
        (RawAnswer(503, ((b"Content-Length", b"9"),), (b"x", End.STALL)), None),
    ],
    ids=["too long", "too slow"],
)
@pytest_twisted.ensureDeferred
async def test_an_endless_refusal(
    stub_openai: StubOpenAI, relay_to: Make, answer: RawAnswer, clock: Clock | None
) -> None:
    """The body of a refusal is bounded in size and in time: another try does not have to wait for it."""
    stub_openai.script(CHAT, answer, answer)
    relay = relay_to(retries=0, clock=clock)
    with pytest.raises(BackendError, match="status 503"):
        await relay.send(chat(hands_over=True)).addTimeout(8, reactor)  # type: ignore[arg-type]

    sink = await relay_to().answer(chat("[[stub text=well]]"))
    assert (200, 2, 2) == (sink.status, sink.tries, stub_openai.departures)
