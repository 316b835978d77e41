"""
The texts and names of API errors that Claude Code passes on, and what each stands for: one table, because neither the
status nor the type says it.

The texts are those of Anthropic's API and of Claude Code 2.1.329, which has sentences of its own in the place of many
of the API's (from its binary, from its output, and from reports of its users). A pattern is looked for anywhere in a
text. The first row that matches counts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

__all__ = ["OF_THE_ACCOUNT", "STATUS_OF_TYPE", "Kind", "Row", "kind_of"]

STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error is that comes as an event of a stream, which has no status (https://docs.anthropic.com/en/api/errors)."""


class Kind(Enum):
    """
    What an error is about.
    """

    FILTERED = "the response was stopped by the content filter"
    USAGE_LIMIT = "the account has used up what it may use; it may again after some time"
    NO_USAGE_LEFT = "the account may not use this until its owner pays or allows more"
    ACCOUNT = "the account or its credentials are not accepted"
    OPERATOR = "the CLI or the network between it and the API must be mended"
    RATE_LIMIT = "too many requests at the moment"
    OVERLOADED = "the API or the model is overloaded"
    TIMEOUT = "the API took too long"
    CONTEXT = "the conversation is longer than the model's context"
    MESSAGES = "something in the conversation is not what the API takes"
    EFFORT = "the model does not take this effort"
    REQUEST = "the API does not take the request"


OF_THE_ACCOUNT = frozenset({Kind.USAGE_LIMIT, Kind.NO_USAGE_LEFT, Kind.ACCOUNT, Kind.OPERATOR})
"""Those that no request can be the reason of."""


class Row(NamedTuple):
    """
    A row of the table.
    """

    kind: Kind
    pattern: re.Pattern[str]


def _row(kind: Kind, *alternatives: str) -> Row:
    return Row(kind, re.compile("|".join(alternatives), re.IGNORECASE))


_TABLE = (
    _row(Kind.FILTERED, "output blocked by content filtering policy"),
    _row(Kind.RATE_LIMIT, "not your usage limit"),
    _row(Kind.OVERLOADED, "experiencing high load", "repeated 529 overloaded"),
    _row(
        Kind.NO_USAGE_LEFT,
        "third-party apps now draw from",
        r"(?:extra usage|usage credits) (?:is |are )?required",
        "requires? usage credits",
        r"out of (?:extra usage|usage credits|usage\b)",
        "usage credits ran out",
        r"does(?:n't|n\u2019t| not) include (?:extra usage|usage)",
        r"usage limit is set to \$0",
        r"(?:hit|reached) your (?:[\w'\u2019-]{1,40} ){0,4}spend limit",
        "usage allocation has been disabled",
        r"service is disabled for your org",
        r"not (?:yet )?available (?:for this subscription|(?:with|on|for) (?:your|the [\w ]{1,40}) plan)",
    ),
    _row(
        Kind.USAGE_LIMIT,
        r"(?:usage|session|daily|weekly|monthly|fable|opus|sonnet|haiku|spend|\b[0-9]{1,3}-hour) limit reached",
        r"hit your (?:[\w'\u2019-]{1,40} ){0,3}limit",
        r"reached your (?:[\w'\u2019-]{1,40} ){0,4}(?:usage|spend) limits?",
        "you will regain access on",
    ),
    _row(
        Kind.OPERATOR,
        "request blocked before it reached",
        r"older than the minimum version",
        r"does not support this model; version \S+ or newer",
        r"or later is required for your organization",
        r"could not load \w{1,40} credentials",
    ),
    _row(
        Kind.ACCOUNT,
        "not logged in",
        r"run /login\b",
        r"log ?in again\b",
        "invalid (?:x-)?api[ -]key",
        "invalid auth token",
        "invalid anthropic_custom_headers",
        "invalid request header from the environment",
        "not a valid api key for this workspace",
        "apikeyhelper",
        "credit balance",
        "failed to authenticate",
        "failed to refresh oauth token: the disk",
        r"oauth (?:access )?token (?:has )?(?:been )?(?:expired|revoked)",
        r"(?:login|session) (?:has )?expired",
        "login reached its time limit",
        r"(?:oauth|api key) authentication is (?:currently )?(?:not|disabled)",
        r"organization (?:has been|is) (?:currently )?disabled",
        "belongs to a disabled organization",
        "organization has disabled",
        "organization does not have access",
        "account (?:has been|is) (?:disabled|suspended|on hold)",
        "only authorized for use with claude code",
        "updated our consumer terms",
        r"this credential is only",
        "disabled by your organization",
    ),
    _row(
        Kind.CONTEXT,
        "prompt is too long",
        "input is too long",
        r"context (?:length|window|limit)",
        "too many total text bytes",
    ),
    _row(
        Kind.MESSAGES,
        "image was too large",
        r"an? (?:image|document) in the conversation could not be processed",
        "an image in the conversation exceeds",
        "could not process (?:image|pdf)",
        "model does not accept pdf documents",
        "pdf too large",
        "pdf is password protected",
        "the pdf file was not valid",
        "tool use concurrency issues",
        "orphaned tool_result",
        "duplicate tool_use id",
    ),
    _row(Kind.EFFORT, r"effort '[a-z]{1,20}' is"),
    _row(Kind.TIMEOUT, r"^(?:api error: )?(?:request timed out|no response from api)"),
)

_NAMED = {
    "extra_usage_out_of_credits": Kind.NO_USAGE_LEFT,
    "credits_required": Kind.NO_USAGE_LEFT,
    "enforced_spend_limit_reached": Kind.NO_USAGE_LEFT,
    "contract_spend_limit_reached": Kind.NO_USAGE_LEFT,
    "model_requires_usage_credits": Kind.NO_USAGE_LEFT,
    "long_context_credits_required": Kind.NO_USAGE_LEFT,
    "consent_unanswered": Kind.NO_USAGE_LEFT,
    "org_disabled_credential": Kind.ACCOUNT,
    "api_key_auth_disabled": Kind.ACCOUNT,
    "invalid_credential_header": Kind.ACCOUNT,
    "provider_credentials": Kind.ACCOUNT,
    "gateway_signin_required": Kind.ACCOUNT,
    "gateway_session_expired": Kind.ACCOUNT,
    "stored_login_refused": Kind.ACCOUNT,
    "oauth_refresh_store_refused": Kind.ACCOUNT,
    "verification_required": Kind.ACCOUNT,
    "claude_code_version_too_old": Kind.OPERATOR,
    "network_edge_blocked": Kind.OPERATOR,
    "tls_untrusted_ca": Kind.OPERATOR,
    "tls_cert_signature_failure": Kind.OPERATOR,
    "gateway_content_type": Kind.OPERATOR,
    "safety_monitor_blocked": Kind.FILTERED,
    "message_over_context_limit": Kind.CONTEXT,
    "media_removed": Kind.MESSAGES,
    "pdf_too_large": Kind.MESSAGES,
    "pdf_password_protected": Kind.MESSAGES,
    "tool_history_mismatch": Kind.MESSAGES,
    "effort_requires_thinking": Kind.EFFORT,
    "dlp_request_denied": Kind.REQUEST,
    "no_response": Kind.TIMEOUT,
    "stream_idle_timeout": Kind.TIMEOUT,
}
"""What the API (``error.details.error_code``) and the CLI (``api_error``, as the schema of its output describes each)
name so. The CLI's ``usage_limit_reached`` is not among them: it is said of spent credits as well, which its text tells
apart."""


def kind_of(text: str, *names: str | None) -> Kind | None:
    """
    Return what an error is about; None where the table does not know, and status and type decide.

    :param names: what the API and the CLI call it, where they have a name for it.
    """
    named = next((_NAMED[name] for name in names if name in _NAMED), None)
    if named is not None:
        return named
    said = next((row.kind for row in _TABLE if row.pattern.search(text)), None)
    return Kind.USAGE_LIMIT if said is None and "usage_limit_reached" in names else said
