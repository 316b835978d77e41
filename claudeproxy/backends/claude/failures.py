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
    InvalidValue,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamTimeout,
    UsageLimitReached,
)
from claudeproxy.ops.redaction import redact
from claudeproxy.wire.claude_cli import TurnResult

__all__ = ["ended_early", "exit_in_words", "failure_of", "reset_time"]

# The texts are the CLI's and the API's own, collected in peers.md E; there is no code for them on the wire.
_CONTEXT = re.compile(r"prompt is too long|context (?:length|window)|too many total text bytes", re.I)
_USAGE_LIMIT = re.compile(r"usage limit reached|hit your (?:[\w-]+ )?limit|out of extra usage", re.I)
_RESET_TIME = re.compile(r"limit reached\|([0-9]{10})\b", re.I)
_LOGGED_OUT = re.compile(r"not logged in|/login|invalid api key|credit balance|oauth token (?:has )?expired", re.I)

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
    text = redact(result.text)[:_SHOWN] or result.subtype
    if result.usage_limited or _USAGE_LIMIT.search(result.text):
        seconds = _SOME_TIME if wait is None else wait
        return UsageLimitReached(
            f"The Claude account's usage limit is reached: {text}",
            retry_after=seconds,
            permanent=seconds > _SOME_TIME,
        )
    if _LOGGED_OUT.search(result.text):
        return _auth_failed(text)
    match result.api_status:
        case 400 | 413 | None if result.api_status == 413 or _CONTEXT.search(result.text):
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
        case 400:
            return InvalidValue(f"The model's API refused the request: {text}")
        case 401 | 403:
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
