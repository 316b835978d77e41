"""
A request with another model, and otherwise the same to the byte.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["with_model"]

# Possessive, so that a long text costs no memory.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(rb"[\[{\]}]|" + _STRING, re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:")


def with_model(body: bytes, model: str) -> bytes:
    """
    Return ``body`` with ``model`` in the place of its own.

    A name that stands there twice is replaced twice, for nobody knows which one a reader takes.

    :param body: a JSON object whose ``model`` is a string, as :func:`~claudeproxy.wire.openai_chat.peek` has seen.
    """
    written = msgspec.json.encode(model)
    pieces: list[bytes] = []
    taken = depth = 0
    is_model = False
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first != 0x22:
            depth += 1 if first in b"[{" else -1
        elif depth != 1:
            continue
        elif is_model:
            pieces += (body[taken : token.start()], written)
            taken = token.end()
            is_model = False
        else:
            is_key = _COLON.match(body, token.end()) is not None
            is_model = is_key and msgspec.json.decode(token.group()) == "model"
    return b"".join((*pieces, body[taken:]))
