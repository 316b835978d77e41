"""
Errors of Anthropic's API that come as a status or as an event of the stream, on the real CLI.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from claudeproxy.backends.claude.answers.api_errors import STATUS_OF_TYPE
from claudeproxy.core.chat import AnswerFormat, TurnSettings
from claudeproxy.core.events import FinishReason
from claudeproxy.errors import (
    BackendAuthFailed,
    ClaudeProxyError,
    ContextLengthExceeded,
    Overloaded,
    RateLimited,
    RequestRefused,
    UsageLimitReached,
)
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.playing import End, RawAnswer
from tests.helpers import real_cli
from tests.live.breaking import EVENTS, PLACES, broken_turn, error_event, start, text
from tests.live.claude import LiveBackend, Make, RecordingSink, chat
from tests.live.whole import outcome, request

FILTERED = "Output blocked by content filtering policy"


def status(kind: str, message: str = "some words") -> RawAnswer:
    """An error as a status."""
    return RawAnswer.json({"type": "error", "error": {"type": kind, "message": message}}, status=STATUS_OF_TYPE[kind])


def event(kind: str, message: str = "some words") -> RawAnswer:
    """An error in the place of the first event."""
    return RawAnswer(200, EVENTS, (error_event(kind, message), End.FINISH), chunked=True)


async def failure(live: LiveBackend, stub: StubAnthropic, *answers: RawAnswer) -> tuple[ClaudeProxyError, int]:
    """The error of a turn, and how often the API was asked."""
    before = len(stub.requests)
    stub.script("/v1/messages", *answers)
    with pytest.raises(ClaudeProxyError) as raised:
        await live.backend.open(chat("hello"), RecordingSink())
    stub.forget_script("/v1/messages")
    return raised.value, len(stub.requests) - before


@pytest.mark.parametrize("kind", STATUS_OF_TYPE)
@pytest_twisted.ensureDeferred
async def test_an_event_is_what_the_status_is(claude: Make, stub_anthropic: StubAnthropic, kind: str) -> None:
    """The same error has the same class, parameter and advice to retry, as a status and as the first event."""
    live = claude()
    as_status, _ = await failure(live, stub_anthropic, *[status(kind)] * 5)
    as_event, asked = await failure(live, stub_anthropic, *[event(kind)] * 5)

    assert type(as_event) is type(as_status)
    assert as_event.param == as_status.param
    assert (as_event.retry_after, as_event.permanent) == (as_status.retry_after, as_status.permanent)
    assert asked == 1


CODES = {
    "invalid_request_error": (400, "request_refused"),
    "authentication_error": (502, "backend_auth_failed"),
    "billing_error": (502, "backend_auth_failed"),
    "permission_error": (502, "backend_auth_failed"),
    "not_found_error": (404, "model_not_found"),
    "request_too_large": (400, "context_length_exceeded"),
    "rate_limit_error": (429, "rate_limit_exceeded"),
    "api_error": (502, "backend_error"),
    "timeout_error": (504, "timeout"),
    "overloaded_error": (503, "overloaded"),
}


@pytest.mark.parametrize(("stream", "place"), [(False, "a message without content"), (True, "half a text")])
@pytest_twisted.ensureDeferred
async def test_a_client_is_told_the_class(whole: Any, stub_anthropic: StubAnthropic, stream: bool, place: str) -> None:
    """
    Over HTTP the error of an event is a status before the first byte, else an error event with the same code behind
    what was said. The API is asked once.
    """
    gateway = whole(claude={"CLAUDE_PATH": real_cli(), "ANTHROPIC_BASE_URL": stub_anthropic.url})
    told, asked = {}, {}
    for kind in CODES:
        before = len(stub_anthropic.requests)
        emitted: Deferred[None] = Deferred()
        steps = (PLACES[place].stream, emitted, error_event(kind, "some words"), End.FINISH)
        stub_anthropic.script("/v1/messages", RawAnswer(200, EVENTS, steps, chunked=True))
        client = await gateway.client()
        body = {"model": "sonnet", "messages": [{"role": "user", "content": f"Hello {kind}"}], "stream": stream}
        client.send(request("POST", "/v1/chat/completions", json.dumps(body).encode()))
        if stream:
            await client.heard(b'"content":"The answer "')
        else:
            await stub_anthropic.next_request()
        emitted.callback(None)
        told[kind], asked[kind] = outcome(await client.answer()), len(stub_anthropic.requests) - before

    said = PLACES[place].text
    assert told == {kind: (200 if stream else status, code, said) for kind, (status, code) in CODES.items()}
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_client_is_told_of_the_filter(whole: Any, stub_anthropic: StubAnthropic, stream: bool) -> None:
    """Over HTTP a response that was filtered has what was said, the API's words as the refusal, and its reason."""
    gateway = whole(claude={"CLAUDE_PATH": real_cli(), "ANTHROPIC_BASE_URL": stub_anthropic.url})
    steps = (PLACES["a text"].stream, error_event("invalid_request_error", FILTERED), End.FINISH)
    stub_anthropic.script("/v1/messages", RawAnswer(200, EVENTS, steps, chunked=True))
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    answer = await gateway.ask("POST", "/v1/chat/completions", json.dumps(body).encode())

    assert outcome(answer) == (200, "", "The answer is")
    assert b'"finish_reason":"content_filter"' in answer.body
    assert f'"refusal":"{FILTERED}"'.encode() in answer.body


REPLACED = [
    ("invalid_request_error", "This organization has been disabled.", BackendAuthFailed, "a disabled organization"),
    ("invalid_request_error", "Your credit balance is too low to access it.", BackendAuthFailed, "Credit balance"),
    ("authentication_error", "invalid x-api-key", BackendAuthFailed, "Invalid API key"),
    (
        "permission_error",
        "API key authentication is disabled for this organization",
        BackendAuthFailed,
        "has disabled API key authentication",
    ),
    (
        "invalid_request_error",
        "prompt is too long: 212345 tokens > 200000 maximum",
        ContextLengthExceeded,
        "Prompt is too long",
    ),
    ("request_too_large", "Request exceeds the maximum size", ContextLengthExceeded, "Request too large (max 32MB)"),
    ("invalid_request_error", "Could not process image", RequestRefused, "image in the conversation could not be"),
    ("invalid_request_error", "The PDF specified is password protected.", RequestRefused, "PDF is password protected."),
    (
        "invalid_request_error",
        "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01.",
        RequestRefused,
        "`tool_use` ids were found without `tool_result` blocks immediately after.",
    ),
    (
        "invalid_request_error",
        "effort 'xhigh' is not supported when thinking is disabled",
        RequestRefused,
        "Effort 'xhigh' isn't available with thinking turned off on this model",
    ),
    ("rate_limit_error", "Too many requests, please try again later", RateLimited, "please try again later"),
    ("rate_limit_error", "spend limit reached · resets Dec 5", UsageLimitReached, "spend limit reached"),
    ("overloaded_error", "Overloaded", Overloaded, "overloaded"),
]
"""What the API says as a status, and what a client gets where the CLI says something else."""
ADVICE = ("Run /", "run /", "--effort", "Re-read", "CLI tool", "session", "compact", "unset", "was removed", "Fix ")


@pytest_twisted.ensureDeferred
async def test_the_clis_own_sentences(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where the CLI has a sentence for a person in the place of the API's reason, a client gets the reason alone."""
    live = claude()
    for kind, message, expected, reason in REPLACED:
        error, _ = await failure(live, stub_anthropic, *[status(kind, message)] * 5)

        assert type(error) is expected, (message, error.message)
        assert reason in error.message
        for advice in ADVICE:
            assert advice not in error.message
        assert (error.param is None) == (expected not in (RequestRefused, ContextLengthExceeded))


@pytest.mark.parametrize("place", ["a message without content", "a text", "a thought and half a text", "a call"])
@pytest.mark.parametrize("state", ["fresh", "parked"])
@pytest_twisted.ensureDeferred
async def test_filtered_output(claude: Make, stub_anthropic: StubAnthropic, place: str, state: str) -> None:
    """What was said before the content filter is passed on, and the response ends with content_filter."""
    ending = [error_event("invalid_request_error", FILTERED), End.FINISH]
    turn = await broken_turn(claude(), stub_anthropic, state, PLACES[place], ending)

    assert turn.error is None
    assert (turn.sink.text, turn.requests) == (PLACES[place].text, 1)
    assert (turn.sink.finished.reason, turn.sink.finished.refusal) == (FinishReason.CONTENT_FILTER, FILTERED)
    assert turn.sink.usage.usage.input_tokens == 3


@pytest_twisted.ensureDeferred
async def test_filtered_before_the_first_event(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where the filter answers with a status, the response is empty and ends the same way."""
    stub_anthropic.script("/v1/messages", *[status("invalid_request_error", FILTERED)] * 5)
    sink = RecordingSink()
    await claude().backend.open(chat("hello"), sink)

    assert (sink.text, sink.finished.reason) == ("", FinishReason.CONTENT_FILTER)


@pytest_twisted.ensureDeferred
async def test_a_refusal_within_a_response_is_not_asked_again(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """What the API refuses after a part of the response was sent is no reason to ask in another form."""
    live = claude()
    sink = RecordingSink()
    reached: Deferred[None] = Deferred()
    sink.on_event = lambda _: None if reached.called else reached.callback(None)
    refusal = error_event("invalid_request_error", "output_config.format: not supported")
    begun = start() + text(0, '{"a"', whole=False)
    stub_anthropic.script("/v1/messages", RawAnswer(200, EVENTS, (begun, reached, refusal, End.FINISH), chunked=True))
    settings = TurnSettings(format=AnswerFormat({"type": "object", "properties": {"a": {"type": "integer"}}}))
    with pytest.raises(RequestRefused) as raised:
        await live.backend.open(chat("hello", settings=settings), sink)

    assert raised.value.param == "response_format"
    assert (sink.text, len(stub_anthropic.requests)) == ('{"a"', 1)


@pytest_twisted.ensureDeferred
async def test_a_limit_with_a_date(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The client is told until when, and not to try before."""
    text = "You have reached your specified API usage limits. You will regain access on 2099-01-01 at 00:00 UTC."
    live = claude()
    far, _ = await failure(live, stub_anthropic, *[status("invalid_request_error", text)] * 5)
    soon = live.clock.seconds() + 3 * 86400
    near_text = text.replace("2099-01-01 at 00:00", datetime.fromtimestamp(soon, UTC).strftime("%Y-%m-%d at %H:%M"))
    near, _ = await failure(live, stub_anthropic, *[status("rate_limit_error", near_text)] * 5)

    # A date that cannot be, more than a year ahead, is not believed.
    assert isinstance(far, UsageLimitReached)
    assert isinstance(near, UsageLimitReached)
    assert near.retry_after == pytest.approx(3 * 86400, abs=120)
    assert near.permanent
