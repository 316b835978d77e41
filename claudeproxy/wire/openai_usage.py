"""
Reads ``usage`` out of an OpenAI answer that passes by.

The tee stands beside a relay's hot path: it keeps the last bytes of the body, whole chunks and no copies, and looks
into them once, after the end. ``usage`` is at the end of both kinds of answer: in the last events of a stream, and
behind the choices of an object.
"""

from __future__ import annotations

import json
import re
from collections import deque

import msgspec

from claudeproxy.core.events import Usage

__all__ = ["OBJECT_TAIL_BYTES", "STREAM_TAIL_BYTES", "UsageTee"]

OBJECT_TAIL_BYTES = 65536
"""How much is kept of the end of an answer that is one object. Most are shorter."""

STREAM_TAIL_BYTES = 2048
"""How much is kept of the end of a stream: there are many at a time, and usage is in one of the last events."""

_LAST_EVENTS = 8
"""How many data lines are looked at: usage is the last one before ``[DONE]``, give or take a vendor's extra."""

_USAGE_KEY = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')
"""The key with an object behind it. Inside of a JSON string its quotes would be escaped."""


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _WireUsage(msgspec.Struct):
    """
    OpenAI's usage object, and the ``cost`` (USD) that some upstreams add to it.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cost: float | None = None


class _Carrier(msgspec.Struct):
    usage: _WireUsage | None = None


_carrier = msgspec.json.Decoder(_Carrier)


class UsageTee:
    """
    Sees every byte of a body and remembers the last ``limit`` of them, and the rest of the chunk that they begin in.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._truncated = False

    def feed(self, data: bytes) -> None:
        """
        Take note of a chunk. Constant time, no copy.
        """
        chunks = self._chunks
        chunks.append(data)
        self._size += len(data)
        while self._size - len(chunks[0]) >= self._limit:
            self._size -= len(chunks.popleft())
            self._truncated = True

    def usage(self) -> Usage | None:
        """
        What the body said about usage, or None when it said nothing that can be read. Called once, at the end.
        """
        tail = b"".join(self._chunks)
        self._chunks.clear()
        if b'"usage"' not in tail:
            return None
        if not self._truncated and tail.lstrip()[:1] == b"{":
            return _decoded(tail)
        return _in_events(tail) or (_behind_key(tail) if self._truncated else None)


def _in_events(tail: bytes) -> Usage | None:
    """
    Look through the last data lines of a stream, newest first.
    """
    looked = 0
    for line in reversed(tail.splitlines()):
        if line.startswith(b"data:"):
            usage = _decoded(line[5:])
            if usage is not None:
                return usage
            looked += 1
            if looked > _LAST_EVENTS:
                break
    return None


def _behind_key(tail: bytes) -> Usage | None:
    """
    Find the usage of an object whose beginning is no longer there.
    """
    matches = list(_USAGE_KEY.finditer(tail))
    if not matches:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(tail[matches[-1].end() :].decode("utf-8", "replace"))
        return _neutral(msgspec.convert(found, _WireUsage))
    except (ValueError, msgspec.ValidationError, RecursionError):
        return None


def _decoded(data: bytes) -> Usage | None:
    try:
        found = _carrier.decode(data).usage
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if found is None else _neutral(found)


def _neutral(usage: _WireUsage) -> Usage | None:
    """
    Split OpenAI's prompt total, which counts cached tokens in, into the neutral model's parts.
    """
    prompt = usage.prompt_tokens_details or _PromptDetails()
    completion = usage.completion_tokens_details or _CompletionDetails()
    read, written = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
    reasoning = completion.reasoning_tokens or 0
    if min(usage.prompt_tokens, usage.completion_tokens, read, written, reasoning) < 0:
        return None
    return Usage(
        input_tokens=max(0, usage.prompt_tokens - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=usage.completion_tokens,
        reasoning_tokens=reasoning,
        cost_usd=usage.cost,
    )
