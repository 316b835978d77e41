"""
What a prompt may ask of a stub: ``[[stub key=value ...]]`` in the last user message.

A directive travels through everything that is under test, so a test, or a person with curl, steers the far end without
touching it. Several directives in one text are read as one. The keys::

    status=429          answer with this HTTP status and the API's error body
    message=...         the text of that error
    retry-after=30      its Retry-After header
    usage=rejected      headers that say so of the account's usage limit (also: allowed, allowed_warning)
    resets=3600         seconds until that limit is reset
    delay=1.5           seconds before the head of the answer
    mute                no byte at all until the client leaves
    silence=2.5         seconds between the head and the first delta
    hang                the head, then nothing until the client leaves
    text=...            the answer's text
    bytes=200000        that many bytes of text instead
    deltas=50           cut the text into so many deltas
    every=0.05          seconds between deltas
    thinking=...        a thinking block before the text
    call=f {"x": 1}     a call of the function f; may come several times, and needs no text beside it
    json=eyJ0Z...       base64 of an object with text, thinking and calls, for what those keys cannot say
    stop=max_tokens     why the answer ends (also: refusal, stop_sequence)
    refuse=format       400 for a request that asks for this (also: system, prefill, forced, strict, sampling,
                        thoughts)
    explanation=...     of a refusal, what it says about itself
    die-after=3         close the connection, the answer incomplete, after so many deltas
    error-after=3       an error event in the stream after so many deltas

The values of ``message``, ``text``, ``thinking``, ``call`` and ``explanation`` run up to the next key; everything else
is one word.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

__all__ = ["REFUSALS", "STOPS", "BadDirective", "Directive", "in_json", "without_directives"]

STOPS = ("end_turn", "max_tokens", "refusal", "stop_sequence")
"""What ``stop`` may say, in the words of Anthropic's API."""

REFUSALS = ("format", "system", "prefill", "forced", "strict", "sampling", "thoughts")
"""What ``refuse`` may say: an output format, messages of the system, an answer that has begun, a choice that forces a
call, strict functions, temperature and the like, signed thoughts."""

_DIRECTIVE = re.compile(r"\[\[stub\s+(.*?)\s*\]\]", re.DOTALL)


class BadDirective(ValueError):
    """
    A directive that no stub understands: the stub answers 400 with this text.
    """


@frozen
class Directive:
    """
    All that was asked; the defaults ask for nothing.
    """

    status: int | None = None
    message: str | None = None
    retry_after: str | None = None
    usage: str | None = None
    resets: float | None = None
    delay: float = 0.0
    mute: bool = False
    silence: float = 0.0
    hang: bool = False
    text: str | None = None
    bytes: int | None = None
    deltas: int | None = None
    every: float | None = None
    thinking: str | None = None
    calls: tuple[tuple[str, str], ...] = ()
    """Names of functions, and the text of their arguments."""
    stop: str = "end_turn"
    explanation: str | None = None
    refuse: str | None = None
    die_after: int | None = None
    error_after: int | None = None

    @classmethod
    def parse(cls, text: str) -> Directive:
        """
        Read the directives of ``text``; raise :class:`BadDirective` for what is not one.
        """
        fields: dict[str, Any] = {}
        calls: list[Any] = []
        for match in _DIRECTIVE.finditer(text):
            for name, value in _fields(match.group(1)):
                if name == "call":
                    calls.append(value)
                elif name == "json":
                    fields |= value
                    calls += fields.pop("calls", ())
                else:
                    fields[name] = value
        return cls(**fields, calls=tuple(calls))


def without_directives(text: str) -> str:
    """
    Return what the person said beside the directives.
    """
    return _DIRECTIVE.sub("", text).strip()


def in_json(*, text: str | None = None, thinking: str | None = None, calls: Sequence[tuple[str, str]] = ()) -> str:
    """
    Return the directive for an answer that may hold any characters at all.
    """
    wanted = {"text": text, "thinking": thinking, "calls": calls}
    return f"[[stub json={b64encode(json.dumps(wanted).encode()).decode()}]]"


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return word

    return parse


def _call(word: str) -> tuple[str, str]:
    name, _, arguments = word.partition(" ")
    if not name:
        raise ValueError("a function's name and its arguments")
    return name, arguments


def _json(word: str) -> dict[str, Any]:
    wanted = json.loads(b64decode(word, validate=True))
    if not isinstance(wanted, dict) or not wanted.keys() <= {"text", "thinking", "calls"}:
        raise ValueError("an object with text, thinking and calls")
    return {**wanted, "calls": [(name, arguments) for name, arguments in wanted.get("calls", ())]}


def _flag(word: str) -> bool:
    if word:
        raise ValueError("no value")
    return True


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "status": int,
    "message": str,
    "retry-after": str,
    "usage": str,
    "resets": float,
    "delay": float,
    "mute": _flag,
    "silence": float,
    "hang": _flag,
    "text": str,
    "bytes": int,
    "deltas": int,
    "every": float,
    "thinking": str,
    "call": _call,
    "json": _json,
    "stop": _one_of(*STOPS),
    "explanation": str,
    "refuse": _one_of(*REFUSALS),
    "die-after": int,
    "error-after": int,
}
_PROSE = ("message", "text", "thinking", "call", "explanation")
_NEXT_KEY = rf"(?=\s+(?:(?:{'|'.join(_PARSERS)})=|(?:mute|hang)\s*$)|$)"
_FIELD = re.compile(rf"\s*(?:({'|'.join(_PROSE)})=(.*?){_NEXT_KEY}|([\w-]+)(?:=(\S*))?)", re.DOTALL)


def _fields(inside: str) -> list[tuple[str, Any]]:
    fields: list[tuple[str, Any]] = []
    at = 0
    while at < len(inside):
        match = _FIELD.match(inside, at)
        if match is None:
            raise BadDirective(f"the stub cannot read {inside[at:]!r}")
        name = match.group(1) or match.group(3)
        word = match.group(2) or match.group(4) or ""
        parser = _PARSERS.get(name)
        if parser is None:
            raise BadDirective(f"the stub knows no {name!r}; it knows {', '.join(_PARSERS)}")
        try:
            fields.append((name.replace("-", "_"), parser(word)))
        except ValueError as error:
            raise BadDirective(f"the stub cannot take {word!r} for {name}: {error}") from None
        at = match.end()
    return fields
