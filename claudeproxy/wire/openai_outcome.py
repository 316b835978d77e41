"""
Whether an OpenAI answer is what it was to be, by its whole body: its status alone does not say.

An upstream can end its body properly and yet have failed: a stream that just stops, an error in the place of a chunk,
a 200 with an error body.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["is_success"]

_END_MARK = re.compile(rb"(?:\A|[\r\n])data: ?\[DONE\]\s*\Z")
_ERROR_KEY = b'"error"'
"""As it stands in JSON; within a string of it the quotes would be escaped."""


class _Told(msgspec.Struct):
    error: Any = None


_told = msgspec.json.Decoder(_Told)


def is_success(media_type: bytes, body: bytes) -> bool:
    """
    Whether ``body`` is a whole answer that tells of no error: a stream of events with its end mark, or a JSON object.

    :param media_type: the value of ``Content-Type``, in lower case.
    """
    if not media_type.startswith(b"text/event-stream"):
        return not _fails(body)
    if _END_MARK.search(body, max(0, len(body) - 100)) is None:
        return False
    # Looked for in all of it before it is cut in lines, of which there can be tens of thousands.
    if _ERROR_KEY not in body:
        return True
    return not any(_fails(line[5:]) for line in body.splitlines() if line.startswith(b"data:") and _ERROR_KEY in line)


def _fails(data: bytes) -> bool:
    try:
        return _told.decode(data).error is not None
    except (msgspec.DecodeError, RecursionError):
        return True
