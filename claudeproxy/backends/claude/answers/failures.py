"""
What the CLI's ways of failing mean to a client.
"""

from __future__ import annotations

import re

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from claudeproxy.errors import (
    BackendAuthFailed,
    BackendError,
    BackendUnavailable,
    ClaudeProxyError,
    ContextLengthExceeded,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRefused,
    UpstreamTimeout,
    UsageLimitReached,
)
from claudeproxy.ops.redaction import redact
from claudeproxy.wire.claude_cli import TurnResult

__all__ = ["ended_early", "exit_in_words", "failure_of", "reset_time"]

# The texts are the CLI's and the API's own, collected in peers.md E; there is no code for them on the wire.
_CONTEXT = re.compile(r"prompt is too long|context (?:length|window)|too many total text bytes", re.I)
_USAGE_LIMIT = re.compile(
    r"(?:usage|session|daily|weekly|monthly|opus|sonnet|haiku|\b[0-9]{1,3}-hour) limit reached"
    r"|hit your (?:[\w-]+ )?limit|reached your (?:[\w-]+ ){0,2}usage limit|out of extra usage",
    re.I,
)
_ANOTHER_LIMIT = re.compile(r"not your usage limit", re.I)
_RESET_TIME = re.compile(r"limit reached\|([0-9]{10})\b", re.I)
_LOGGED_OUT = re.compile(
    r"not logged in|/login|invalid api key|credit balance|oauth token (?:has )?expired|organization has been disabled",
    re.I,
)

_READ = 16 * 1024
"""Characters of the text that are looked at: of more, only the beginning can be shown."""
_SHOWN = 500

_SOME_TIME = 60.0
"""Seconds until a retry, where nobody said when the usage limit is reset."""


def reset_time(text: str) -> float | None:
    """
    Return when the usage limit is reset, in seconds since the epoch, if the error text of a turn says so.
    """
    told = _RESET_TIME.search(text)
    return None if told is None else float(told[1])


def failure_of(result: TurnResult, wait: float | None = None) -> ClaudeProxyError:
    """
    Return the error that a failed turn's ``result`` line stands for.

    :param wait: seconds until the account's usage limit is reset, where that is known.
    """
    words = _beginning(result.text)
    text = redact(words)[:_SHOWN] or result.subtype
    # Where the account's limit is reached, that is what the API refuses for, whatever words the CLI has for it.
    refused = result.api_status == 429 and wait is not None and _ANOTHER_LIMIT.search(words) is None
    if result.usage_limited or refused or _USAGE_LIMIT.search(words):
        seconds = _SOME_TIME if wait is None else wait
        return UsageLimitReached(
            f"The Claude account's usage limit is reached: {text}",
            retry_after=seconds,
            permanent=seconds > _SOME_TIME,
        )
    if _LOGGED_OUT.search(words):
        return _auth_failed(text)
    match result.api_status:
        case 400 | 413 | None if result.api_status == 413 or _CONTEXT.search(words):
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
        case 400:
            return RequestRefused(f"The model's API refused the request: {text}")
        case 401 | 402 | 403:
            return _auth_failed(text)
        case 404:
            return ModelNotFound("The Claude account has no such model, or no access to it.", param="model")
        case 429:
            return RateLimited(f"The model's API refused for its rate limit: {text}", retry_after=10)
        case 408 | 504:
            return UpstreamTimeout("The model's API took too long.")
        case 529:
            return Overloaded("The model's API is overloaded.", retry_after=10)
        case None:
            return BackendError(f"Claude Code ended the turn with an error: {text}")
        case status:
            # The CLI's own words here are advice to its user, and name the API's address.
            return BackendError(f"The model's API failed with status {status}.")


def _beginning(text: str) -> str:
    if len(text) <= _READ:
        return text
    # A secret is known by its beginning: better none of it than its end alone, or half a line.
    text = text[:_READ]
    return text.rpartition("\n")[0] or text


def _auth_failed(text: str) -> BackendAuthFailed:
    return BackendAuthFailed(
        f"Claude Code's own credentials were refused: {text}. The operator must check ANTHROPIC_API_KEY, "
        "ANTHROPIC_AUTH_TOKEN, CLAUDE_CODE_OAUTH_TOKEN or the CLI's login."
    )


def exit_in_words(reason: Failure) -> str:
    """
    Return how a process ended, from what Twisted says of it.
    """
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"signal {error.signal}"
    return f"exit code {error.exitCode}" if isinstance(error, ProcessDone | ProcessTerminated) else str(error)


def ended_early(booted: bool, status: str | None) -> ClaudeProxyError:
    """
    Return the error of a process that ended before its turn.

    :param booted: it had said something.
    """
    if booted:
        return BackendError(f"Claude Code ended before its answer was complete: {status}.")
    return BackendUnavailable(f"Claude Code does not start: {status}.", retry_after=5)
