"""
How turns on the real CLI end: with answers, at limits, by errors, and without their clients.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from claudeproxy.core.chat import Effort, TurnSettings
from claudeproxy.core.events import FinishReason
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendError,
    ClaudeProxyError,
    ContextLengthExceeded,
    InvalidValue,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRefused,
    UpstreamTimeout,
    UsageLimitReached,
)
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import Make, RecordingSink, chat, said


@pytest_twisted.ensureDeferred
async def test_what_a_turn_asks_for_ends_with_the_turn(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Effort, token limit and stop sequences reach the API for their turn, and leave no trace in the next."""
    live = claude()
    first = RecordingSink()
    settings = TurnSettings(effort=Effort.LOW, max_tokens=77, stop=("END", "FIN"))
    await live.backend.open(chat("plain"), first)
    plain = stub_anthropic.requests[-1].body
    second = RecordingSink()
    await live.backend.open(chat("plain", first.text, "tuned", settings=settings), second)
    tuned = stub_anthropic.requests[-1].body
    third = RecordingSink()
    await live.backend.open(
        chat("plain", first.text, "tuned", second.text, "thoughtless", settings=TurnSettings(effort=Effort.NONE)), third
    )
    thoughtless = stub_anthropic.requests[-1].body
    await live.backend.open(
        chat("plain", first.text, "tuned", second.text, "thoughtless", third.text, "plain"), RecordingSink()
    )
    last = stub_anthropic.requests[-1].body

    assert live.started == 1
    assert (tuned["max_tokens"], tuned["stop_sequences"], tuned["output_config"]) == (
        77,
        ["END", "FIN"],
        {"effort": "low"},
    )
    assert "thinking" in plain
    assert "thinking" not in thoughtless
    for name in ("max_tokens", "stop_sequences", "output_config", "thinking"):
        assert last.get(name) == plain.get(name)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_cut_off_ends_there(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """At the token limit the answer ends with that reason; the CLI's own attempt to go on never reaches the client."""
    live = claude()
    sink, after = RecordingSink(), RecordingSink()
    await live.backend.open(chat("[[stub text=as far as it got stop=max_tokens]]"), sink)
    assert (sink.text, sink.finished.reason) == ("as far as it got", FinishReason.LENGTH)
    assert sink.usage.usage.output_tokens == stub_anthropic.requests[0].usage["output_tokens"]
    await live.all_ended()
    assert len(stub_anthropic.requests) == 1
    await live.backend.open(chat("[[stub text=as far as it got stop=max_tokens]]", sink.text, "go on"), after)

    assert said(stub_anthropic.requests[-1])[1:] == [("assistant", "as far as it got"), ("user", "go on")]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("stop", [("\n\n", "END"), ("\n\n",)])
async def test_blanks_end_an_answer(stop: tuple[str, ...], claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The API takes no stop sequence of blanks alone, so that is found here, and what the model said is cut there."""
    live = claude()
    prompt = "[[stub text=One.\n \nTwo.\n\nThree.\n\nFour. deltas=500 every=0.01]]"
    sink = RecordingSink()
    await live.backend.open(chat(prompt, settings=TurnSettings(stop=stop)), sink)
    await live.all_ended()
    await live.backend.open(chat("[[stub text=x]]", sink.text, "go on"), RecordingSink())
    asked, last = stub_anthropic.requests

    assert (sink.text, sink.finished.reason) == ("One.\n \nTwo.", FinishReason.STOP)
    assert (sink.usage.usage.output_tokens, sink.usage.usage.cost_usd) == (4, None)
    assert asked.gone
    assert sink.usage.usage.input_tokens == asked.usage["input_tokens"]
    assert asked.body.get("stop_sequences") == ([each for each in stop if each == "END"] or None)
    assert said(last)[1:] == [("assistant", "One.\n \nTwo."), ("user", "go on")]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence"])
async def test_an_empty_answer_is_an_answer(stop: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that says nothing has answered: nothing is put into the user's mouth to make it say more."""
    live = claude()
    sink = RecordingSink()
    await live.backend.open(chat(f"[[stub bytes=0 stop={stop}]]"), sink)
    await live.all_ended()
    assert (sink.text, sink.finished.reason) == ("", FinishReason.STOP)
    assert sink.head is not None
    await live.backend.open(chat("go on", session_id=sink.head.session_id), RecordingSink())

    assert said(stub_anthropic.requests[-1]) == [("user", f"[[stub bytes=0 stop={stop}]]"), ("user", "go on")]


@pytest_twisted.ensureDeferred
async def test_blanks_are_no_message(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """An answer of nothing but blanks in a history is left out, and a prompt of nothing else is refused."""
    live = claude()
    await live.backend.open(chat("a", " \n", "b"), RecordingSink())
    assert said(stub_anthropic.requests[-1]) == [("user", "a"), ("user", "b")]
    with pytest.raises(InvalidValue):
        await live.backend.open(chat("  \n"), RecordingSink())

    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("fault", ["error-after=2", "die-after=2"])
async def test_an_answer_that_breaks_off_is_no_success(fault: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """When the API's stream breaks, what came stays sent, the client is told, and the API is not asked again."""
    sink = RecordingSink()
    with pytest.raises(ClaudeProxyError):
        await claude().backend.open(chat(f"[[stub {fault} text=a b c d deltas=4 every=0.05]]"), sink)

    assert sink.text in ("a ", "a b ")
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_a_content_filter(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that refuses ends the answer with content_filter."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub text=No. stop=refusal]]"), sink)

    assert (sink.text, sink.finished.reason) == ("No.", FinishReason.CONTENT_FILTER)
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_thinking_is_reasoning_and_not_answer(claude: Make) -> None:
    """What the model thinks arrives as reasoning, apart from the answer."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub thinking=let me see text=42]]"), sink)

    assert (sink.reasoning, sink.text) == ("let me see", "42")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("status=400 message=messages: bad", RequestRefused),
        ("status=400 message=prompt is too long: 9 tokens > 8 maximum", ContextLengthExceeded),
        ("status=401 message=invalid x-api-key", BackendAuthFailed),
        ("status=403 message=forbidden", BackendAuthFailed),
        ("status=404 message=model: nope", ModelNotFound),
        ("status=413 message=too large", ContextLengthExceeded),
        ("status=429 message=slow down", RateLimited),
        ("status=429 message=Claude AI usage limit reached|1795253324", UsageLimitReached),
        ("status=500 message=oops", BackendError),
        ("status=529 message=overloaded", Overloaded),
    ],
)
async def test_the_apis_errors_have_their_own_faces(
    directive: str, expected: type[ClaudeProxyError], claude: Make
) -> None:
    """Each failure of the API behind the CLI is told apart, with nothing sent before it, and no key in its text."""
    secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    sink = RecordingSink()
    with pytest.raises(ClaudeProxyError) as raised:
        await claude().backend.open(chat(f"[[stub {directive} {secret}]]"), sink)

    assert raised.type is expected
    assert secret not in raised.value.message
    assert sink.events == []


@pytest_twisted.ensureDeferred
async def test_a_failed_turn_leaves_the_session_as_it_was(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """After a failure the session goes on from its last answer, and the failed words are not in it."""
    live = claude()
    first = RecordingSink()
    await live.backend.open(chat("one"), first)
    assert first.head is not None
    with pytest.raises(Overloaded):
        await live.backend.open(chat("[[stub status=529]]", session_id=first.head.session_id), RecordingSink())
    await live.backend.open(chat("two", session_id=first.head.session_id), RecordingSink())

    assert said(stub_anthropic.requests[-1]) == [("user", "one"), ("assistant", first.text), ("user", "two")]


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_stops_the_model(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """When the client goes, the request behind the CLI is dropped and the process's place is free within a second."""
    live = claude()
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub deltas=2000 every=0.01]]"), sink)
    await sink.first_event()
    departed = stub_anthropic.next_departure()
    count = len(sink.events)
    left = reactor.seconds()  # type: ignore[attr-defined]
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await departed.addTimeout(1.0, reactor)
    await live.all_ended(within=1.0)

    assert reactor.seconds() - left < 1.0  # type: ignore[attr-defined]
    assert live.backend.health().live == 0
    assert len(sink.events) == count


@pytest_twisted.ensureDeferred
async def test_a_turn_that_takes_too_long_is_a_timeout(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """At the request's time limit the client is told so, and the model is stopped."""
    live = claude(REQUEST_TIMEOUT_MS="4000")
    first = RecordingSink()
    await live.backend.open(chat("warm"), first)
    departed = stub_anthropic.next_departure()
    with pytest.raises(UpstreamTimeout):
        await live.backend.open(chat("warm", first.text, "[[stub hang]]"), RecordingSink())
    await departed.addTimeout(1.0, reactor)


@pytest_twisted.ensureDeferred
async def test_a_slow_client_pauses_the_cli(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """While the client does not read, no event is produced; once it reads again, nothing is missing."""
    live = claude()
    sink = RecordingSink()
    running = live.backend.open(chat("[[stub bytes=400000]]"), sink)
    await sink.first_event()
    assert sink.producer is not None
    sink.producer.pauseProducing()
    await deferLater(reactor, 0, lambda: None)
    paused_at = len(sink.events)
    # Two turns of another conversation pass meanwhile: time enough for anything that still ran.
    await live.backend.open(chat("meanwhile"), RecordingSink())
    assert len(sink.events) == paused_at
    sink.producer.resumeProducing()
    await running

    assert len(sink.text) == 400_000
