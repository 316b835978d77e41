"""
What is known of the account's usage limits, and what a refusal for one of them becomes.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from twisted.internet.task import Clock

from claudeproxy.backends.claude.answers.failures import failure_of
from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.core.events import Usage
from claudeproxy.core.health import UsageLimit
from claudeproxy.errors import BackendAuthFailed, RateLimited, UsageLimitReached
from claudeproxy.wire.claude_cli import TurnResult


def failed(text: str, **fields: Any) -> TurnResult:
    """The result line of a turn that failed so."""
    known = {"session_id": "s", "is_error": True, "subtype": "success", "api_status": 429, "stop_reason": None}
    return TurnResult(**{**known, "text": text, "usage": Usage(), "total_cost_usd": 0.0, **fields})


def test_a_limit_is_known_until_it_is_reset(clock: Clock) -> None:
    """Each kind of limit is shown with its last word, and forgotten when its time has come."""
    limits = UsageLimits(clock)
    warned = UsageLimit("seven_day", "allowed_warning", 500.0, 0.9)
    reached = UsageLimit("five_hour", "rejected", 100.0)
    limits.note(UsageLimit("five_hour", "allowed_warning", 100.0, 0.95))
    limits.note(warned)
    limits.note(reached)

    assert set(limits.current()) == {warned, reached}
    clock.advance(100.0)
    assert limits.current() == (warned,)
    limits.note(UsageLimit("seven_day", "allowed", 500.0))
    assert limits.current() == ()


@pytest.mark.parametrize(
    ("told", "known", "wait"),
    [(60.0, None, 50.0), (60.0, 90.0, 50.0), (None, 90.0, 80.0), (None, None, None), (5.0, None, None)],
)
def test_a_refusals_own_time_comes_first(told: float | None, known: float | None, wait: float | None) -> None:
    """Else the account's reached limit says how long to wait; a time that has passed says nothing."""
    clock = Clock()
    clock.advance(10.0)
    limits = UsageLimits(clock)
    limits.note(UsageLimit("seven_day", "allowed_warning", 1000.0))
    if known is not None:
        limits.note(UsageLimit("five_hour", "rejected", known))

    assert limits.wait(told) == wait


def test_a_time_that_is_set_back_or_forward_does_no_harm() -> None:
    """A limit that the clock has overtaken is gone; one that it has fallen behind is waited for, and no error."""
    clock = Clock()
    clock.rightNow = 1000.0
    limits = UsageLimits(clock)
    limits.note(UsageLimit("five_hour", "rejected", 1100.0))
    clock.rightNow = 500.0
    assert limits.wait(None) == 600.0
    clock.rightNow = 90_000.0
    assert (limits.wait(None), limits.current()) == (None, ())


@pytest.mark.parametrize(
    "text",
    [
        "Claude AI usage limit reached|1795253324",
        "You've hit your limit · resets Apr 23 at 4pm (America/Recife)",
        "You've hit your 5-hour limit · resets 1:21pm (UTC)",
        "You've hit your Opus limit · resets 1pm",
        "You're out of extra usage · resets 3pm (UTC)",
        "5-hour limit reached ∙ resets 3pm",
        "Weekly limit reached",
        "You've reached your usage limit",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01",
    ],
)
@pytest.mark.parametrize("status", [429, 400, None])
def test_the_known_texts_are_usage_limits(text: str, status: int | None) -> None:
    """Also where an older CLI has no code for it."""
    error = failure_of(failed(text, api_status=status), 7200.0)

    assert isinstance(error, UsageLimitReached)
    assert (error.retry_after, error.permanent) == (7200.0, True)


def test_a_limit_without_a_time_is_asked_again_in_a_minute() -> None:
    """Where nobody said how long, a client may try again soon."""
    error = failure_of(failed("some new words", cause="usage_limit_reached"))

    assert isinstance(error, UsageLimitReached)
    assert (error.retry_after, error.permanent) == (60.0, False)


def test_a_text_that_only_mentions_the_limit_is_none() -> None:
    """The CLI says of a busy API that it is not the usage limit."""
    text = "API Error: Server is temporarily limiting requests (not your usage limit) · try again later."

    assert isinstance(failure_of(failed(text)), RateLimited)
    assert isinstance(failure_of(failed(text), 7200.0), RateLimited)


def test_a_refusal_while_the_limit_is_reached_is_for_the_limit() -> None:
    """Whatever words there are for it, a client is told how long it has to wait; without a limit it is soon."""
    text = "API Error: 429 rate_limit_error"
    error = failure_of(failed(text), 7200.0)

    assert isinstance(error, UsageLimitReached)
    assert (error.retry_after, error.permanent) == (7200.0, True)
    assert isinstance(failure_of(failed(text)), RateLimited)


@pytest.mark.parametrize(
    ("text", "status"), [("API Error: 402 billing", 402), ("This organization has been disabled.", 400)]
)
def test_an_account_that_may_not_is_the_operators_affair(text: str, status: int) -> None:
    """Who pays nothing, or was shut out, is not told that the request was wrong."""
    assert isinstance(failure_of(failed(text, api_status=status)), BackendAuthFailed)


@pytest.mark.parametrize("text", ["You have reached your rate limit", "Context limit reached"])
def test_other_limits_are_none_of_the_account(text: str) -> None:
    """Of requests in a minute, or of the model."""
    assert not isinstance(failure_of(failed(text, api_status=400)), UsageLimitReached)


def test_of_a_long_text_only_the_beginning_is_read() -> None:
    """A megabyte of words that nobody sees does not keep the daemon busy."""
    secret = "sk-ant-api03-AbCdEf_123-xyz"
    before = time.process_time()
    error = failure_of(failed(f"It broke for {secret}.\n" + "line\n" * 2_000_000, api_status=None))

    assert "It broke for [redacted].\nline\n" in error.message
    assert time.process_time() - before < 2


@pytest.mark.parametrize("resets_at", [1.9e12, 1e300, -1e300, 0.0, 1.9e9 + 400 * 86400.0])
def test_a_time_that_cannot_be_is_not_believed(resets_at: float) -> None:
    """Milliseconds, or nonsense: nobody waits for it, and it is not shown."""
    clock = Clock()
    clock.rightNow = 1.9e9
    limits = UsageLimits(clock)
    limits.note(UsageLimit("five_hour", "rejected", 1.9e9 + 60.0))
    limits.note(UsageLimit("seven_day", "rejected", resets_at))

    assert [limit.kind for limit in limits.current()] == ["five_hour"]
    assert limits.wait(resets_at) == 60.0
