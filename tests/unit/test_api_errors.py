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
    "API Error: Request rejected (429) · spend limit reached · resets Dec 5",
    "You've hit your org's monthly spend limit · ask your admin · your 5-hour limit resets Dec 3, 9:18pm (UTC)",
]
UNPAID = [
    "You're out of extra usage. Add more at claude.ai/settings/usage and keep going.",
    "You're out of usage credits",
    "Your org is out of usage · add funds to continue",
    "Your organization is out of usage credits.",
    "API Error: Usage credits ran out before the response was finished.",
    "You've hit your individual spend limit · ask your admin to raise it at https://claude.ai/admin-settings/usage",
    "You've hit your channel's monthly spend limit",
    "API Error: Request rejected (429) · You've reached your organization's enforced spend limit.",
    "Your usage allocation has been disabled by your admin · ask your admin for a higher limit",
    "This service is disabled for your org",
    "Your seat type doesn't include usage",
    "API Error: Usage credits required for 1M context · turn on usage credits at https://claude.ai/settings/usage",
    "API Error: 400 The long context beta is not yet available for this subscription.",
    "Claude Opus is not available with the Claude Pro plan. If you have updated your plan recently, run /logout",
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
    "Your ANTHROPIC_API_KEY belongs to a disabled organization · Update or unset the environment variable",
    "Your organization has disabled API key authentication · Unset ANTHROPIC_API_KEY and run /login to sign in",
    "Your organization has disabled Claude subscription access for Claude Code · Use an Anthropic API key instead",
    "API Error: 400 Your organization does not have access to Claude. Please login again or contact your admin.",
    "Invalid API key · Fix external API key",
    "Invalid auth token · Fix external auth token",
    "Failed to authenticate: OAuth session expired and could not be refreshed",
    "Failed to authenticate: this login reached its time limit and cannot be renewed. Run `claude auth login`",
    "Failed to authenticate: OAuth token revoked. Please log in again or contact your administrator.",
    "API Error: OAuth access token has been revoked.",
    "Your account is on hold and can't sign in to Claude Code. View details or appeal: https://claude.ai/x",
    "Your apiKeyHelper script is failing · This usually means you need to re-authenticate with your provider",
]
UNREACHABLE = [
    "API Error: Request blocked before it reached Anthropic's API (HTTP 403) · the network this request came from "
    "isn't allowed: usually an unsupported region, or a VPN, proxy or hosting network",
    "API Error: 400 Claude Code 2.1.1 is older than the minimum version required by your organization's policy",
    "API Error: 400 Claude Code 2.1.1 does not support this model; version 2.2.0 or newer is required",
    "API Error: Could not load AWS credentials · expired. Check or refresh your AWS credentials and try again.",
]


@pytest.mark.parametrize("status", [400, 403, 429, None])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, UsageLimitReached) for text in LIMITS + UNPAID),
        *((text, BackendAuthFailed) for text in ACCOUNTS),
        *((text, BackendError) for text in UNREACHABLE),
    ],
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


@pytest.mark.parametrize("fields", [{"api_status": 400}, {"api_type": "invalid_request_error"}])
@pytest.mark.parametrize("place", ["tools.0.custom.name", "messages.3.content.0.text", "output_config.format.schema"])
@pytest.mark.parametrize(
    "text", [*LIMITS, *UNPAID, *ACCOUNTS, *UNREACHABLE, "Output blocked by content filtering policy"]
)
def test_a_reason_that_quotes_the_request_is_the_requests(text: str, place: str, fields: dict[str, Any]) -> None:
    """A client that has such words in its request does not make others hand over."""
    result = failed(f"API Error: {place}: not allowed: {text}", **fields)

    assert failure_of(result).status == 400
    assert filter_reason(result) is None


@pytest.mark.parametrize("fields", [{"api_status": 500}, {"api_type": "api_error"}, {"api_status": 503}])
@pytest.mark.parametrize("text", [*UNPAID, *ACCOUNTS, *UNREACHABLE])
def test_a_server_that_fails_is_asked_again(text: str, fields: dict[str, Any]) -> None:
    """Whatever it speaks of: only a refusal is for the account."""
    error = failure_of(failed(text, **fields))

    assert isinstance(error, BackendError)
    assert not error.permanent


@pytest.mark.parametrize(
    ("names", "expected", "permanent"),
    [
        ({"cause": "org_disabled_credential"}, BackendAuthFailed, True),
        ({"cause": "api_key_auth_disabled"}, BackendAuthFailed, True),
        ({"cause": "provider_credentials"}, BackendAuthFailed, True),
        ({"cause": "long_context_credits_required"}, UsageLimitReached, True),
        ({"cause": "model_requires_usage_credits"}, UsageLimitReached, True),
        ({"cause": "usage_limit_reached"}, UsageLimitReached, False),
        ({"api_code": "enforced_spend_limit_reached"}, UsageLimitReached, True),
        ({"api_code": "extra_usage_out_of_credits"}, UsageLimitReached, True),
        ({"api_code": "verification_required"}, BackendAuthFailed, True),
        ({"cause": "claude_code_version_too_old"}, BackendError, True),
        ({"cause": "network_edge_blocked"}, BackendError, True),
        ({"cause": "tls_untrusted_ca"}, BackendError, True),
        ({"cause": "tool_history_mismatch"}, RequestRefused, False),
        ({"cause": "dlp_request_denied"}, RequestRefused, False),
        ({"cause": "no_response"}, UpstreamTimeout, False),
    ],
)
@pytest.mark.parametrize("status", [400, 403, 429, None])
def test_a_failure_that_has_a_name(
    names: dict[str, str], expected: type[ClaudeProxyError], permanent: bool, status: int | None
) -> None:
    """The names that the API and the CLI have for it count, whatever the words and the status."""
    error = failure_of(failed("some new words", api_status=status, **names))

    assert (type(error), error.permanent) == (expected, permanent)


def test_spent_credits_are_no_limit_that_is_reset_soon() -> None:
    """The CLI calls them a usage limit as well, and its text tells them apart."""
    error = failure_of(failed("You're out of usage credits", api_status=429, cause="usage_limit_reached"))

    assert (error.retry_after, error.permanent) == (3600, True)


def test_a_busy_api_says_for_how_long() -> None:
    """A wait of seconds is that of a rate limit, not the account's."""
    error = failure_of(failed("API Error: Request rejected (429) · slow down", api_status=429), 20.0)

    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.permanent) == (20, False)


def test_output_that_is_filtered() -> None:
    """Neither an error of the request nor of the backend: the response ends with content_filter."""
    text = "API Error: Output blocked by content filtering policy"

    assert filter_reason(failed(text, api_type="invalid_request_error")) == "Output blocked by content filtering policy"
    assert filter_reason(failed("API Error: 400 " + text[11:], api_status=400)) == text[11:]
    assert filter_reason(failed("API Error: 400 messages: bad", api_status=400)) is None
    assert filter_reason(failed("API Error: 403 stopped", api_status=403, cause="safety_monitor_blocked")) == "stopped"


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
        (
            "Image was too large. Try resizing the image or using a different approach.",
            "Image was too large.",
        ),
        (
            "API Error: an image in the conversation could not be processed and was removed. Re-read the file with a "
            "different approach if you still need it.",
            "an image in the conversation could not be processed.",
        ),
        (
            "An image in the conversation exceeds the dimension limit for many-image requests (2000px). Start a new "
            "session with fewer images.",
            "An image in the conversation exceeds the dimension limit for many-image requests (2000px).",
        ),
        (
            "API Error: this model does not accept PDF documents, so a PDF in the conversation was removed. Ask Claude "
            "to read specific pages of the file instead (they are sent as images), or switch to one that reads PDFs.",
            "this model does not accept PDF documents.",
        ),
        (
            "API Error: 400 due to tool use concurrency issues. Run /rewind to recover the conversation.",
            "`tool_use` ids were found without `tool_result` blocks immediately after.",
        ),
        (
            "API Error: 400 orphaned tool_result in conversation history.",
            "unexpected `tool_use_id` found in `tool_result` blocks.",
        ),
        ("API Error: 400 duplicate tool_use ID in conversation history.", "`tool_use` ids must be unique."),
        (
            "API Error: Effort 'xhigh' isn't available with thinking turned off on this model · use --effort high (or "
            "the effortLevel setting), or turn thinking back on (start the session without thinking disabled)",
            "Effort 'xhigh' isn't available with thinking turned off on this model",
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
        "session",
        "removed",
        "Ask Claude",
        "resizing",
        "--effort",
    ):
        assert words not in message or words in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Prompt is too long · the request is ~212345 tokens (limit 200000) but this conversation is only ~17 "
            "tokens — the rest is system prompt, tool definitions, and attachment content. A single-exchange "
            "conversation cannot be compacted; reduce attached files/tools or start with less context.",
            "prompt is too long: 212345 tokens > 200000 maximum",
        ),
        (
            "Prompt is too long · this conversation is a single exchange and cannot be compacted — the request size "
            "comes mostly from system prompt, tool definitions, or attachments.",
            "Prompt is too long",
        ),
        (
            "Prompt is too long · the provider said: maximum context length is 9 tokens",
            "maximum context length is 9 tokens",
        ),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        {"api_status": 400},
        {"api_status": 413},
        {"api_type": "invalid_request_error"},
        {"cause": "message_over_context_limit"},
    ],
)
def test_a_conversation_that_is_too_long(text: str, said: str, fields: dict[str, Any]) -> None:
    """Said in the API's words, for clients look for them."""
    error = failure_of(failed(text, **fields))

    assert isinstance(error, ContextLengthExceeded)
    assert error.message == f"The conversation is too long for the model: {said}"


@pytest.mark.parametrize(
    "text",
    ["Too many requests, please try again later", "Please run /login", "Re-read the file", "tools.0.name: use /model"],
)
def test_a_text_that_is_all_advice_is_kept(text: str) -> None:
    """Words that say little are better than none."""
    assert text in failure_of(failed(f"API Error: 400 {text}", api_status=400)).message


@pytest.mark.parametrize(
    ("reason", "param"),
    [
        ("effort 'xhigh' is not supported when thinking is disabled", "reasoning_effort"),
        ("Could not process image", "messages"),
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
