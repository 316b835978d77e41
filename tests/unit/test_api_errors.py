"""
What the texts, types and statuses of API errors become, as Claude Code passes them on.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudeproxy.backends.claude.answers.api_errors import STATUS_OF_TYPE
from claudeproxy.backends.claude.answers.failures import failure_of, filter_reason
from claudeproxy.core.events import Usage
from claudeproxy.core.retry import hands_over
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendError,
    ClaudeProxyError,
    ContextLengthExceeded,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRefused,
    UpstreamTimeout,
    UsageLimitReached,
)
from claudeproxy.web.answers import error_headers
from claudeproxy.wire.claude_cli import TurnResult

CLASSES = {
    "invalid_request_error": RequestRefused,
    "authentication_error": BackendAuthFailed,
    "billing_error": BackendAuthFailed,
    "permission_error": BackendAuthFailed,
    "not_found_error": ModelNotFound,
    "request_too_large": ContextLengthExceeded,
    "rate_limit_error": RateLimited,
    "api_error": BackendError,
    "timeout_error": UpstreamTimeout,
    "overloaded_error": Overloaded,
}


def failed(text: str, **fields: Any) -> TurnResult:
    """The result line of a turn that failed so."""
    known = {"session_id": "s", "is_error": True, "subtype": "success", "api_status": None, "stop_reason": None}
    return TurnResult(**{**known, "text": text, "usage": Usage(), "total_cost_usd": 0.0, **fields})


@pytest.mark.parametrize(("kind", "expected"), CLASSES.items())
def test_an_event_has_the_class_of_the_status(kind: str, expected: type[ClaudeProxyError]) -> None:
    """The same error is the same to a client, however it came."""
    event = failure_of(failed("API Error: some words", api_type=kind))
    status = failure_of(failed("API Error: some words", api_status=STATUS_OF_TYPE[kind], api_type=kind))

    assert type(event) is type(status) is expected
    assert (event.message, event.retry_after, event.permanent) == (status.message, status.retry_after, status.permanent)
    assert set(STATUS_OF_TYPE) == set(CLASSES)


LIMITS = [
    "You've hit your weekly limit · resets Dec 5, 9am (UTC)",
    "You've hit your channel's monthly spend limit.",
    "You're out of usage credits. Run /usage-credits to keep using it.",
    "You have reached your specified workspace API usage limits. You will regain access on 2026-12-05 at 00:00 UTC.",
    "API Error: 400 You have reached your specified API usage limits. You will regain access on 2026-12-05.",
]
UNPAID = [
    "API Error: 400 Third-party apps now draw from your extra usage, not your plan limits. Add more at claude.ai",
    "API Error: 429 Extra usage is required for long context requests.",
    "Usage credits are required for long context",
    "claude-opus-5 requires usage credits.",
    "Your seat type doesn't include extra usage",
    "Your group's usage limit is set to $0",
]
ACCOUNTS = [
    "Credit balance is too low",
    "API Error: 400 Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    "API Error: 400 This organization has been disabled.",
    "API Error: 403 OAuth authentication is currently not allowed for this organization.",
    "Please run /login · API Error: 401 Invalid authentication credentials",
    "Not logged in · Please run /login",
    "OAuth token revoked · Please run /login",
    "Login expired · Please run /login",
    "API Error: 401 OAuth token has expired. Please obtain a new token or refresh your existing token.",
    "API Error: 401 invalid x-api-key",
    "API Error: 400 Not a valid API key for this workspace",
    "API Error: 400 This credential is only authorized for use with Claude Code and cannot be used for other requests.",
    "We've updated our Consumer Terms and Privacy Policy. Run claude to review.",
]


@pytest.mark.parametrize("status", [400, 403, 429, None])
@pytest.mark.parametrize(
    ("text", "expected"),
    [*((text, UsageLimitReached) for text in LIMITS + UNPAID), *((text, BackendAuthFailed) for text in ACCOUNTS)],
)
def test_the_accounts_faults_are_not_the_requests(
    text: str, expected: type[ClaudeProxyError], status: int | None
) -> None:
    """Whatever status they come with: a chain hands over, and the SDKs do not repeat what cannot be mended so."""
    error = failure_of(failed(text, api_status=status), 7200.0 if text in LIMITS else None)
    headers = dict(error_headers(error))

    assert type(error) is expected
    assert hands_over(error)
    assert headers["X-Should-Retry"] == "false"
    if text in LIMITS:
        assert headers["Retry-After"] == "7200"


def test_output_that_is_filtered() -> None:
    """Neither an error of the request nor of the backend: the response ends with content_filter."""
    text = "API Error: Output blocked by content filtering policy"

    assert filter_reason(failed(text, api_type="invalid_request_error")) == "Output blocked by content filtering policy"
    assert filter_reason(failed("API Error: 400 " + text[11:], api_status=400)) == text[11:]
    assert filter_reason(failed("API Error: 400 messages: bad", api_status=400)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("API Error: 400 messages.3.content.0: bad block", "messages.3.content.0: bad block"),
        ("API Error: messages: bad", "messages: bad"),
        ("Failed to authenticate. API Error: 401 invalid key", "invalid key"),
        ("Please run /login · API Error: 401 invalid key", "invalid key"),
        ("API Error: Request rejected (429) · slow down", "slow down"),
        (
            "Image was too large. Double press esc to go back and try again with a smaller image.",
            "Image was too large.",
        ),
        (
            "PDF too large (40MB). Double press esc to go back and try again, or use pdftotext to convert to text.",
            "PDF too large (40MB).",
        ),
        (
            "PDF is password protected. Try using a CLI tool to extract or convert the PDF.",
            "PDF is password protected.",
        ),
        (
            "Request too large (max 32MB). Accumulated images and attachments in the conversation pushed the request "
            "over the limit. Remove older images or compact the conversation.",
            "Request too large (max 32MB). Accumulated images and attachments in the conversation pushed the request "
            "over the limit.",
        ),
        (
            "Image was too large. Re-read the file with a different approach if you still need it.",
            "Image was too large.",
        ),
        (
            "API Error: 500 oops. This is a server-side issue, usually temporary — try again in a moment. If it "
            "persists, check your inference gateway (127.0.0.1:8500).",
            "oops.",
        ),
        (
            "API Error: Connection to the API was lost (ECONNRESET). This is usually temporary — try again.",
            "Connection to the API was lost (ECONNRESET).",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 500, None])
def test_a_client_gets_the_apis_reason_alone(text: str, said: str, status: int | None) -> None:
    """Without the status before it and the advice to a person at a terminal behind it."""
    message = failure_of(failed(text, api_status=status)).message

    assert said.rstrip(".") in message
    for words in (
        "API Error",
        "esc",
        "/login ",
        "CLI tool",
        "pdftotext",
        "e-read",
        "compact",
        "try again",
        "127.0.0.1",
    ):
        assert words not in message or words in said


@pytest.mark.parametrize(
    ("reason", "param"),
    [
        ("messages.3.content.0.text: too long", "messages"),
        ("messages: first message must use the user role", "messages"),
        ("tools.0.custom.input_schema: not valid", "tools"),
        ("tools[0].name: bad", "tools"),
        ("max_tokens: 900000 > 64000", "max_tokens"),
        ("temperature: range", "temperature"),
        ("stop_sequences.0: blank", "stop"),
        ("thinking.budget_tokens: too small", "reasoning_effort"),
        ("output_config.format.schema: bad", "response_format"),
        ("something_new: bad", None),
        ("no parameter here", None),
        ("Note: this is prose", None),
    ],
)
def test_the_parameter_that_the_api_names(reason: str, param: str | None) -> None:
    """In the client's words, and without its place, for the API's conversation is not the client's to the message."""
    error = failure_of(failed(f"API Error: 400 {reason}", api_status=400))

    assert isinstance(error, RequestRefused)
    assert error.param == param
