"""
What the CLI's ways of failing mean to a client.

What the CLI prints of an API error is for a person at a terminal: the API's reason, in front of it the status, and
behind it advice such as "Run /login" or "Double press esc". A client of an API gets the reason alone.
"""

from __future__ import annotations

import re

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.api_errors import STATUS_OF_TYPE, Kind, kind_of
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

__all__ = ["ended_early", "exit_in_words", "failure_of", "filter_reason"]

_READ = 16 * 1024
"""Characters of the text that are looked at: of more, only the beginning can be shown."""
_SHOWN = 500

_SOME_TIME = 60.0
"""Seconds until a retry, where nobody said when the usage limit is reset."""
_LONG = 3600.0
"""Seconds until a retry, where it is of no use before the account's owner has done something."""

_PREFIX = re.compile(
    r"(?:Failed to authenticate\. |Please run /login · )?(?:API Error: ?)?"
    r"(?:Request rejected \([0-9]{3}\) · |[0-9]{3} )?"
)
"""What the CLI puts before the API's reason."""
_ADVICE = re.compile(
    r"(?<![\w/])/(?:login|model|clear|compact|usage-credits|feedback|upgrade|rate-limit-options)(?![\w/-])"
    r"|--model\b|press esc|\bre-read\b|compact the conversation|Try using a CLI tool|pdftotext|usually temporary"
    r"|inference gateway|\btry again\b|^Learn more: |Remove older images",
    re.IGNORECASE,
)
"""Sentences for a person at a terminal."""
_SENTENCES = re.compile(r"(?<=[.!?]) +| [·∙—] ")

_PATH = re.compile(r"([a-z_]{2,40})(?:[.\[][\w.\[\]]{0,200})?: ")
"""Where the API's reason begins with the place in the request that it is about."""
_PARAMS = {
    "messages": "messages",
    "system": "messages",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop_sequences": "stop",
    "thinking": "reasoning_effort",
    "output_config": "response_format",
    "output_format": "response_format",
}
"""The client's parameter behind one of the API's. Not its place within: the CLI has messages of its own."""


def filter_reason(result: TurnResult) -> str | None:
    """
    Return the API's words where its content filter has stopped the response, else None.
    """
    words = _beginning(result.text)
    return _reason(words) if kind_of(words) is Kind.FILTERED else None


def failure_of(result: TurnResult, wait: float | None = None) -> ClaudeProxyError:
    """
    Return the error that a failed turn's ``result`` line stands for.

    An error that came as an event of the API's stream has the class of the same error as a status.

    :param wait: seconds until the account's usage limit is reset, where that is known.
    """
    words = _beginning(result.text)
    kind, text = kind_of(words), _reason(words) or result.subtype
    status = result.api_status or STATUS_OF_TYPE.get(result.api_type or "")
    # Where the account's limit is reached, that is what the API refuses for, whatever words the CLI has for it.
    if kind is None and (result.usage_limited or (status == 429 and wait is not None)):
        kind = Kind.USAGE_LIMIT
    match kind:
        case Kind.USAGE_LIMIT | Kind.NO_USAGE_LEFT:
            seconds = wait or (_LONG if kind is Kind.NO_USAGE_LEFT else _SOME_TIME)
            return UsageLimitReached(
                f"The Claude account's usage limit is reached: {text}",
                retry_after=seconds,
                permanent=seconds > _SOME_TIME,
            )
        case Kind.ACCOUNT:
            return _auth_failed(text)
        case Kind.RATE_LIMIT:
            return RateLimited(f"The model's API refused for its rate limit: {text}", retry_after=10)
        case Kind.CONTEXT if status in (400, 413, None):
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
        case Kind.FILE:
            return RequestRefused(f"The model's API refused the request: {text}", param="messages")
        case _:
            return _of_status(status, text)


def _of_status(status: int | None, text: str) -> ClaudeProxyError:
    match status:
        case 400:
            return RequestRefused(f"The model's API refused the request: {text}", param=_param(text))
        case 413:
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
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
        case _:
            return BackendError(f"The model's API failed: {text}")


def _beginning(text: str) -> str:
    if len(text) <= _READ:
        return text
    # A secret is known by its beginning: better none of it than its end alone, or half a line.
    text = text[:_READ]
    return text.rpartition("\n")[0] or text


def _reason(words: str) -> str:
    """
    Return what of a text is the API's reason: without the CLI's words before and behind it, redacted and not too long.
    """
    prefix = _PREFIX.match(words)
    said = words[prefix.end() :] if prefix is not None else words
    kept = [sentence for sentence in _SENTENCES.split(said) if not _ADVICE.search(sentence)]
    return redact(" ".join(kept).strip())[:_SHOWN]


def _param(reason: str) -> str | None:
    """
    Return the client's parameter that the API's reason names, if it names one.
    """
    path = _PATH.match(reason)
    return None if path is None else _PARAMS.get(path[1])


def _auth_failed(text: str) -> BackendAuthFailed:
    return BackendAuthFailed(
        f"Claude Code's own credentials were refused: {text.rstrip('.')}. The operator must check ANTHROPIC_API_KEY, "
        "ANTHROPIC_AUTH_TOKEN, CLAUDE_CODE_OAUTH_TOKEN or the CLI's login.",
        permanent=True,
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
