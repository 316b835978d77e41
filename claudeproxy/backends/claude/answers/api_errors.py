"""
The texts of API errors that Claude Code passes on, and what each stands for: one table, because neither the status nor
the type says it.

The texts are those of Anthropic's API and of Claude Code 2.1.329 (from its binary, and from reports of its users). A
pattern is looked for anywhere in a text. The first row that matches counts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

__all__ = ["STATUS_OF_TYPE", "Kind", "Row", "kind_of"]

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
    RATE_LIMIT = "too many requests at the moment"
    CONTEXT = "the conversation is longer than the model's context"
    FILE = "an image or a document is not one that the API takes"


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
    _row(
        Kind.NO_USAGE_LEFT,
        "third-party apps now draw from",
        r"(?:extra usage|usage credits) (?:is|are) required",
        "requires usage credits",
        "does(?:n't| not) include extra usage",
        r"usage limit is set to \$0",
    ),
    _row(
        Kind.USAGE_LIMIT,
        r"(?:usage|session|daily|weekly|monthly|opus|sonnet|haiku|\b[0-9]{1,3}-hour) limit reached",
        r"hit your (?:[\w'-]{1,40} ){0,3}limit",
        r"reached your (?:[\w-]{1,40} ){0,4}(?:usage|spend) limits?",
        r"out of (?:extra usage|usage credits)",
        "you will regain access on",
    ),
    _row(
        Kind.ACCOUNT,
        "not logged in",
        r"run /login\b",
        "invalid (?:x-)?api[ -]key",
        "not a valid api key for this workspace",
        "credit balance",
        r"oauth token (?:has )?(?:been )?(?:expired|revoked)",
        r"(?:login|session) (?:has )?expired",
        "oauth authentication is currently not",
        r"organization (?:has been|is) (?:currently )?disabled",
        "account (?:has been|is) (?:disabled|suspended|on hold)",
        "only authorized for use with claude code",
        "updated our consumer terms",
        r"this credential is only",
        "disabled by your organization",
    ),
    _row(Kind.CONTEXT, "prompt is too long", r"context (?:length|window|limit)", "too many total text bytes"),
    _row(
        Kind.FILE,
        "image was too large",
        "pdf too large",
        "pdf is password protected",
        "the pdf file was not valid",
    ),
)


def kind_of(text: str) -> Kind | None:
    """
    Return what an error's text is about; None where the table does not know, and status and type decide.
    """
    return next((row.kind for row in _TABLE if row.pattern.search(text)), None)
