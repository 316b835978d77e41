"""
A request with another model, and otherwise the same to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from claudeproxy.errors import InvalidValue

__all__ = ["with_model"]

_MOST_MODELS = 10_000
"""Members named "model", at any depth, that a request may have. Each takes a step of Python."""

_FIRST_PIECE, _LARGEST_PIECE = 1024, 256 * 1024
"""Bytes that are looked at, and copied, at a time."""

# The name and what follows up to the string that is its value. In JSON a quote without a backslash before it opens or
# closes a string, and behind a closing one stands no letter and no backslash: so this is found only where a string
# begins. The pattern starts with the quote, for which the search is fast.
_MEMBER = re.compile(
    rb'"(?<!\\")'
    + b"".join(rb"(?:%c|\\u00%x[%x%X])" % (c, c >> 4, c & 15, c & 15) for c in b"model")
    + rb'"[ \t\r\n]*:[ \t\r\n]*(?=")'
)
_NEITHER_QUOTES_NOR_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))


def with_model(body: bytes, model: str) -> bytes:
    """
    Return ``body`` with ``model`` in the place of its own.

    A name that stands there twice is replaced twice, for nobody knows which one a reader takes.

    :param body: a JSON object whose ``model`` is a string, as :func:`~claudeproxy.wire.openai_chat.peek` has seen.
    :raises InvalidValue: when there are absurdly many members of that name, at whatever depth.
    """
    found = [match.span() for match in islice(_MEMBER.finditer(body), _MOST_MODELS + 1)]
    if len(found) > _MOST_MODELS:
        raise InvalidValue(f"A request may have {_MOST_MODELS} members named 'model' at most.", param="model")
    written = msgspec.json.encode(model)
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    taken = at = depth = 0
    for start, value in found:
        # Of one alone it is known where it stands.
        depth = 1 if len(found) == 1 else depth + _descent(body, at, start)
        at = value
        if depth == 1:
            pieces += (view[taken:value], written)
            taken = _string_end(body, value)
    return b"".join((*pieces, view[taken:]))


def _descent(json: bytes, at: int, end: int) -> int:
    """
    Return how many more brackets a piece of JSON opens than it closes; it begins and ends outside of strings.
    """
    descent = 0
    within = False
    for _, piece in _without_escapes(json, at, end):
        # Between the quotes, every second part is outside of the strings.
        parts = piece.translate(None, _NEITHER_QUOTES_NOR_BRACKETS).split(b'"')
        bare = b"".join(parts[within::2])
        descent += bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
        within ^= len(parts) % 2 == 0
    return descent


def _string_end(json: bytes, start: int) -> int:
    """
    Return where a string of JSON ends, given where its opening quote stands.
    """
    for at, piece in _without_escapes(json, start + 1, len(json)):
        if (quote := piece.find(b'"')) >= 0:
            return at + quote + 1
    return len(json)


def _without_escapes(json: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """
    Yield JSON piece by piece, each with its place, of the same length and without escaped quotes and backslashes.
    """
    size = _FIRST_PIECE
    while at < end:
        piece = json[at : min(at + size, end)].replace(rb"\\", b"__").replace(rb"\"", b"__")
        size = min(2 * size, _LARGEST_PIECE)
        if piece.endswith(b"\\") and len(piece) > 1:
            piece = piece[:-1]  # what it escapes stands in the next piece
        yield at, piece
        at += len(piece)
