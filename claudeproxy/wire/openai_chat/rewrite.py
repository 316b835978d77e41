"""
A request with another model, and otherwise the same to the byte.
"""

from __future__ import annotations

import re

import msgspec

from claudeproxy.errors import InvalidValue

__all__ = ["with_model"]

_MOST_MODELS = 10_000
"""Members named "model", at any depth, that a request may have. Each takes a step of Python."""

# Possessive, so that a long text costs no memory. Whatever the body is made of, all of it but the members named "model"
# is passed over within one match: a step of Python for each of its strings or brackets would hold up everybody else.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = rb"[ \t\r\n]*+"
_KEY = rb'"' + b"".join(rb"(?:%c|\\u00%x[%x%X])" % (c, c >> 4, c & 15, c & 15) for c in b"model") + rb'"'
_START = _KEY + _SPACE + rb":" + _SPACE + rb'(?=")'
_OTHERS = rb'[^"]*+(?:(?!' + _START + rb")" + _STRING + rb'[^"]*+)*+'
_NEXT = re.compile(rb"(" + _OTHERS + rb")" + _START + rb"(" + _STRING + rb")", re.DOTALL)
_STRINGS = re.compile(_STRING + rb'(?:[^"\[\]{}]*+' + _STRING + rb")*+", re.DOTALL)
_NO_BRACKETS = re.compile(rb"[^\[\]{}]*+")


def with_model(body: bytes, model: str) -> bytes:
    """
    Return ``body`` with ``model`` in the place of its own.

    A name that stands there twice is replaced twice, for nobody knows which one a reader takes.

    :param body: a JSON object whose ``model`` is a string, as :func:`~claudeproxy.wire.openai_chat.peek` has seen.
    :raises InvalidValue: when there are absurdly many members of that name, at whatever depth.
    """
    written = msgspec.json.encode(model)
    pieces: list[bytes] = []
    taken = at = depth = seen = 0
    while (found := _NEXT.match(body, at)) is not None:
        seen += 1
        if seen > _MOST_MODELS:
            raise InvalidValue(f"A request may have {_MOST_MODELS} members named 'model' at most.", param="model")
        depth += _descent(found[1])
        if depth == 1:
            pieces += (body[taken : found.start(2)], written)
            taken = found.end()
        at = found.end()
    return b"".join((*pieces, body[taken:]))


def _descent(json: bytes) -> int:
    """
    Return how many more brackets a piece of JSON opens than it closes.
    """
    if _NO_BRACKETS.fullmatch(json):
        return 0
    bare = _STRINGS.sub(b"", json)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
