"""
Thoughts, and what they came after.

The newest models take a thought back only where all that comes before it is what it was when they had it: the system
prompt, the functions, every message and earlier thought (the API's guide to preserved thinking). So each thought that
is kept knows a digest of that, its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

from attrs import evolve

from claudeproxy.core.chat import Message, Part, Role, Text, Thinking
from claudeproxy.core.digests import digest_of
from claudeproxy.core.tools import Tool, offer_key

__all__ = ["count_thoughtful", "head_of", "in_place", "place_after", "placed", "with_recent_thoughts"]

_MOST_TRIED = 8
"""Thoughts that are tried as the first to be kept; mostly there are none or one."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def head_of(system: str, functions: Iterable[Tool]) -> bytes:
    """
    Return a digest of what comes before all messages.
    """
    return digest_of((system, *offer_key(functions)))


def place_after(head: bytes, messages: Iterable[Message], unknown: int = 0) -> str:
    """
    Return the place of a thought that comes after these messages.

    :param unknown: how many answers among them had thoughts that the messages lack.
    """
    place = _begin(head, unknown)
    for message in messages:
        _pass(place, message, _thoughts(message))
    return place.hexdigest()


def with_recent_thoughts(messages: Sequence[Message]) -> tuple[Message, ...]:
    """
    Leave out of a conversation what was thought before the user's last words; since then the API wants it.
    """
    since = max(
        (
            index
            for index, message in enumerate(messages)
            if message.role is Role.USER and any(isinstance(part, Text) for part in message.parts)
        ),
        default=0,
    )
    return tuple(message if index > since else message.shown for index, message in enumerate(messages))


def in_place(head: bytes, messages: Sequence[Message]) -> tuple[Message, ...]:
    """
    Leave out the thoughts that would come after something else than they did.

    The last one counts most: where it was had without earlier ones, it is these that are left out.
    """
    last = max((index for index, message in enumerate(messages) if _thoughts(message)), default=None)
    kept: frozenset[int] = frozenset()
    for start in _beginnings(head, messages):
        fitting = _fitting(head, messages, start)
        if not kept or last in fitting:
            kept = fitting
        if last in kept:
            break
    return tuple(message if index in kept else message.shown for index, message in enumerate(messages))


def _beginnings(head: bytes, messages: Iterable[Message]) -> list[int]:
    """
    Return where the thoughts are that can be the first ones: those that were had after no other.
    """
    place = _begin(head)
    found = []
    for index, message in enumerate(messages):
        if _fits(_thoughts(message), place):
            found.append(index)
        _pass(place, message, ())
    # A conversation may be long, and somebody waits.
    return found if len(found) <= _MOST_TRIED else [*found[: _MOST_TRIED // 2], *found[-_MOST_TRIED // 2 :]]


def _fitting(head: bytes, messages: Iterable[Message], start: int) -> frozenset[int]:
    """
    Return where the thoughts are that have their place when those before ``start`` are left out.
    """
    place = _begin(head)
    found = set()
    for index, message in enumerate(messages):
        thoughts = _thoughts(message)
        fits = index >= start and _fits(thoughts, place)
        if fits:
            found.add(index)
        _pass(place, message, thoughts if fits else ())
    return frozenset(found)


def _fits(thoughts: Sequence[Thinking], place: _Hash) -> bool:
    """Return whether there are thoughts, and this is their place."""
    return bool(thoughts) and {thought.place for thought in thoughts} == {place.hexdigest()}


def count_thoughtful(messages: Iterable[Message]) -> int:
    """
    Return how many of the messages hold thoughts.
    """
    return sum(bool(_thoughts(message)) for message in messages)


def placed(parts: Iterable[Part], place: str) -> tuple[Part, ...]:
    """
    Return the parts of an answer, its thoughts with their place.
    """
    return tuple(evolve(part, place=place) if isinstance(part, Thinking) else part for part in parts)


def _begin(head: bytes, unknown: int = 0) -> _Hash:
    return sha256(head + b"%d" % unknown)


def _pass(place: _Hash, message: Message, thoughts: Iterable[Thinking]) -> None:
    """Go on to what comes after a message that is told with these thoughts; its digest tells nothing of them."""
    place.update(message.digest)
    for thought in thoughts:
        place.update(digest_of((thought.signature, thought.redacted)))


def _thoughts(message: Message) -> list[Thinking]:
    return [part for part in message.parts if isinstance(part, Thinking)]
