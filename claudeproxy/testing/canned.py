"""
The words of a stub: canned, and saying so.

A stub is not a model, but a conversation must be demonstrable: it repeats what it is told to say and remembers a name
and a number that the conversation holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import ceil

from attrs import evolve

from claudeproxy.testing.directives import Directive, without_directives

__all__ = ["bounded", "canned_answer", "count_tokens", "cut"]

_QUOTED = 2000
"""So many characters of the user's text are repeated."""

_NAME = re.compile(r"\bmy name is ([^\W\d_][\w'-]*)", re.IGNORECASE)
_ASKED_NAME = re.compile(r"\bwhat(?:'s| is) my name\b", re.IGNORECASE)
_NUMBER = re.compile(r"\bremember\b\D*(\d+)", re.IGNORECASE)
_ASKED_NUMBER = re.compile(r"\b(?:which|what) number\b", re.IGNORECASE)
_EXACTLY = re.compile(r"\breply with exactly:?\s+(.+)", re.IGNORECASE | re.DOTALL)


def canned_answer(api: str, user_texts: Sequence[str]) -> str:
    """
    Return the answer to the last of ``user_texts``, on behalf of the stub of ``api``.
    """
    said = without_directives(user_texts[-1]) if user_texts else ""
    if match := _EXACTLY.search(said):
        return match.group(1)
    if _ASKED_NAME.search(said):
        name = _last_match(_NAME, user_texts)
        return f"Your name is {name}." if name else "You have not told me your name."
    if _ASKED_NUMBER.search(said):
        number = _last_match(_NUMBER, user_texts)
        return f"The number is {number}." if number else "You have not told me a number."
    quoted = said if len(said) <= _QUOTED else said[:_QUOTED] + "…"
    return f"This is a canned answer by claudeproxy's stub of {api}, no model was asked. You said: {quoted}"


def _last_match(pattern: re.Pattern[str], texts: Sequence[str]) -> str | None:
    found = [match.group(1) for text in texts for match in pattern.finditer(text)]
    return found[-1] if found else None


def cut(directive: Directive, answer: str) -> Iterator[str]:
    """
    Yield the answer's deltas: words, unless ``directive`` asks for another text, size or number.
    """
    if directive.bytes is not None:
        pieces = directive.deltas or max(1, ceil(directive.bytes / 1000))
        for piece in range(pieces):
            size = directive.bytes * (piece + 1) // pieces - directive.bytes * piece // pieces
            if size:
                yield "x" * size
    elif directive.text is None and directive.deltas is not None:
        for number in range(1, directive.deltas + 1):
            yield f"delta {number} "
    else:
        text = answer if directive.text is None else directive.text
        if directive.deltas is None:
            yield from re.findall(r"\s*\S+|\s+$", text)
        else:
            size = max(1, ceil(len(text) / directive.deltas))
            yield from (text[at : at + size] for at in range(0, len(text), size))


def bounded(
    directive: Directive, words: Iterable[str], max_tokens: int | None, stops: Sequence[str]
) -> tuple[Directive, list[str]]:
    """
    Return what is left of the deltas under a request's own limits, and the directive with the reason why they end.

    A directive that asks for a number of bytes gets them.
    """
    kept = list(words)
    if directive.bytes is not None:
        return directive, kept
    text = "".join(kept)
    found = [text.index(stop) for stop in stops if stop in text]
    if found:
        kept, directive = _shortened(kept, min(found)), evolve(directive, stop="stop_sequence")
    counts = list(accumulate(map(count_tokens, kept)))
    if max_tokens is not None and counts and counts[-1] > max_tokens:
        kept = [word for word, count in zip(kept, counts, strict=True) if count <= max_tokens]
        directive = evolve(directive, stop="max_tokens")
    return directive, kept


def _shortened(words: Sequence[str], length: int) -> list[str]:
    kept = []
    for word in words:
        if length > 0:
            kept.append(word[:length])
        length -= len(word)
    return kept


def count_tokens(text: str) -> int:
    """
    Count what a stub calls tokens: words, and at least one for any text.
    """
    return max(len(text.split()), 1) if text else 0
