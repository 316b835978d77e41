"""
What the CLI's ways of failing mean to a client.

What the CLI prints of an API error is for a person at a terminal: the API's reason, in front of it the status, and
behind it advice such as "Run /login" or "Double press esc". A client of an API gets the reason alone.
"""

from __future__ import annotations

import re

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.api_errors import OF_THE_ACCOUNT, STATUS_OF_TYPE, Kind, kind_of
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

_SOON = 10.0
"""Seconds until a retry, where the API is busy."""
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
    r"(?<![\w/])/(?:login|logout|model|clear|compact|effort|rewind|usage-credits|feedback|upgrade|rate-limit-options)"
    r"(?![\w/-])|--(?:model|effort)\b|claude (?:auth|setup-token)\b|\blog ?in again\b|press esc|\bre-read\b"
    r"|compact the conversation|Try using a CLI tool|pdftotext|usually temporary|inference gateway"
    r"|^try again\b|try again in a moment|^Try (?:resizing|reading|converting|switching)|^Learn more: "
    r"|Remove older images|start a new session|^(?:Update or )?unset (?:the |ANTHROPIC)|^Fix (?:the|external) "
    r"|^Ask Claude |^Use an Anthropic API key instead|_TIMEOUT(?:_MS)?\b",
    re.IGNORECASE,
)
"""Sentences for a person at a terminal, or about the CLI's own settings."""
_SENTENCES = re.compile(r"((?<=[.!?]) +| [·∙—] )")

_IN_TERMS_OF_THE_API = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (
            r"^Prompt is too long · the request is ~(\d{1,20}) tokens \(limit (\d{1,20})\).*",
            r"prompt is too long: \1 tokens > \2 maximum",
        ),
        (r"^Prompt is too long · the provider said: ", ""),
        (r"^(Prompt is too long) · .*", r"\1"),
        (r"\b(could not be processed) and was removed\b", r"\1"),
        (r"(this model does not accept PDF documents), so a PDF in the conversation was removed\b", r"\1"),
        (
            r"^due to tool use concurrency issues\.",
            "`tool_use` ids were found without `tool_result` blocks immediately after.",
        ),
        (r"^orphaned tool_result in conversation history\.", "unexpected `tool_use_id` found in `tool_result` blocks."),
        (r"^duplicate tool_use ID in conversation history\.", "`tool_use` ids must be unique."),
    )
)
"""Where the CLI has a sentence of its own in the place of the API's reason, and that speaks of its conversation."""

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
    return _reason(words) if _kind(result, words) is Kind.FILTERED else None


def failure_of(result: TurnResult, wait: float | None = None) -> ClaudeProxyError:
    """
    Return the error that a failed turn's ``result`` line stands for.

    An error that came as an event of the API's stream has the class of the same error as a status.

    :param wait: seconds until the account's usage limit is reset, where that is known.
    """
    words = _beginning(result.text)
    kind, text = _kind(result, words), _reason(words) or result.subtype
    status = result.api_status or STATUS_OF_TYPE.get(result.api_type or "")
    # Where the account's limit is reached, that is what the API refuses for, whatever words the CLI has for it.
    if kind is None and status == 429 and wait is not None and wait > _SOME_TIME:
        kind = Kind.USAGE_LIMIT
    if kind in OF_THE_ACCOUNT and (status or 0) >= 500:
        # A server that fails may speak of anything; only a refusal is for the account.
        kind = None
    match kind:
        case Kind.USAGE_LIMIT:
            seconds = wait or _SOME_TIME
            return UsageLimitReached(
                f"The Claude account's usage limit is reached: {text}",
                retry_after=seconds,
                permanent=seconds > _SOME_TIME,
            )
        case Kind.NO_USAGE_LEFT:
            return UsageLimitReached(
                f"The Claude account may not make this request before its owner allows or pays for it: {text}",
                retry_after=wait or _LONG,
                permanent=True,
            )
        case Kind.ACCOUNT:
            return _auth_failed(text)
        case Kind.OPERATOR:
            return BackendError(
                f"Claude Code cannot use the model's API before the operator has mended this: {text}", permanent=True
            )
        case Kind.OVERLOADED:
            return _of_status(529, text)
        case Kind.TIMEOUT:
            return _of_status(504, text)
        case Kind.RATE_LIMIT:
            return _of_status(429, text)
        case Kind.CONTEXT if status in (400, 413, None):
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
        case Kind.MESSAGES:
            return _refused(text, "messages")
        case Kind.EFFORT:
            return _refused(text, "reasoning_effort")
        case Kind.REQUEST:
            return _refused(text)
        case _:
            return _of_status(status, text, wait)


def _kind(result: TurnResult, words: str) -> Kind | None:
    kind = kind_of(words, result.api_code, result.cause)
    place = _param(_without_prefix(words))
    if place is None or (kind is Kind.CONTEXT and place in ("messages", "max_tokens")):
        return kind
    # A reason that begins with a place in the request is about the request, and may quote it.
    return None


def _of_status(status: int | None, text: str, wait: float | None = None) -> ClaudeProxyError:
    match status:
        case 400 | 422:
            return _refused(text)
        case 413:
            return ContextLengthExceeded(f"The conversation is too long for the model: {text}", param="messages")
        case 401 | 402 | 403:
            return _auth_failed(text)
        case 404:
            return ModelNotFound("The Claude account has no such model, or no access to it.", param="model")
        case 429:
            return RateLimited(f"The model's API refused for its rate limit: {text}", retry_after=wait or _SOON)
        case 408 | 504:
            return UpstreamTimeout("The model's API took too long.")
        case 529:
            return Overloaded("The model's API is overloaded.", retry_after=_SOON)
        case None:
            return BackendError(f"Claude Code ended the turn with an error: {text}")
        case _:
            return BackendError(f"The model's API failed: {text}")


def _refused(reason: str, param: str | None = None) -> RequestRefused:
    """
    :param param: where the reason itself names none.
    """
    return RequestRefused(f"The model's API refused the request: {reason}", param=_param(reason) or param)


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
    said = _without_prefix(words)
    for pattern, words_of_the_api in _IN_TERMS_OF_THE_API:
        said = pattern.sub(words_of_the_api, said)
    if _param(said) is None:
        said = _without_advice(said)
    return redact(said.strip())[:_SHOWN]


def _without_prefix(words: str) -> str:
    prefix = _PREFIX.match(words)
    return words if prefix is None else words[prefix.end() :]


def _without_advice(said: str) -> str:
    sentences = ["", *_SENTENCES.split(said)]
    kept = ""
    for gap, sentence in zip(sentences[::2], sentences[1::2], strict=True):
        if not _ADVICE.search(sentence):
            kept += gap + sentence if kept else sentence
    # What is nothing else is better than nothing.
    return kept or said


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
