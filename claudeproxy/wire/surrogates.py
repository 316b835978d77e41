r"""
Unpaired surrogates: what JSON allows and Unicode does not.

JSON writes a character outside the Basic Multilingual Plane as two escapes, ``\ud83d\ude00``. Software that cuts text
between them sends the one without the other, and no reader can make text of it. In a request that is relayed this is a
matter for the upstream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from claudeproxy.errors import ClaudeProxyError, InvalidJSON, InvalidValue

__all__ = ["surrogate_fault", "without_surrogates"]

_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH.replace(rb"{2}", b"[0-9a-fA-F]"), _LOW))
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPLACEMENT = rb"\\ufffd"
_CHARACTER = re.compile("[\ud800-\udfff]")
_MOST_SEARCHED = 1024 * 1024
"""Bytes of a body in which they are looked for one by one."""
_WORDS = r"an unpaired surrogate (an escape from \ud800 to \udfff without its other half)"


def without_surrogates(body: bytes) -> Iterator[bytes]:
    """
    Yield JSON texts that can be read where this one cannot for its unpaired surrogates. In the first these alone are
    replaced. It is missing where that would take long, and of no use where an escaped backslash comes before what looks
    like an escape; the last has no surrogates at all.
    """
    if len(body) <= _MOST_SEARCHED:
        yield _LONE.sub(_REPLACEMENT, body)
    yield _without_any(body)


def surrogate_fault(body: bytes) -> ClaudeProxyError | None:
    """
    Return the error for a body that is JSON but for an unpaired surrogate; None for every other body.
    """
    if _HALF.search(body) is None:
        return None
    place: str | None = None
    try:
        if len(body) <= _MOST_SEARCHED:
            place = _place(json.loads(body))
            if place is None:
                return None
        else:
            msgspec.json.decode(_without_any(body), type=msgspec.Raw)
    except (ValueError, RecursionError):
        return None
    if not place:
        return InvalidJSON(f"The body holds {_WORDS}, which no Unicode text has.")
    return InvalidValue(f"Invalid value for '{place}': expected Unicode text, got {_WORDS}.", param=place)


def _without_any(body: bytes) -> bytes:
    # Some other characters are changed as well; a pattern that spares them takes seconds for a large body.
    return body.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")


def _place(value: Any) -> str | None:
    """
    Return the path of the first string with an unpaired surrogate, or of the object with such a key; the empty one
    stands for the body itself, and None for nowhere.
    """
    waiting = [("", value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, str) and _CHARACTER.search(each):
            return path
        if isinstance(each, dict):
            if any(_CHARACTER.search(name) for name in each):
                return path
            waiting += reversed([(f"{path}.{name}" if path else name, inner) for name, inner in each.items()])
        elif isinstance(each, list):
            waiting += reversed([(f"{path}[{index}]", inner) for index, inner in enumerate(each)])
    return None
