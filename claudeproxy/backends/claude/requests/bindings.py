"""
Thoughts, and what they came after.

The newest models take a thought back only where all that comes before it is what it was when they had it: the system
prompt, the functions, every message and earlier thought (the API's guide to preserved thinking). So each thought that
is kept knows a digest of that, its place.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from hashlib import sha256
from typing import Protocol

from attrs import evolve

from claudeproxy.core.chat import Message, Part, Thinking
from claudeproxy.core.digests import digest_of
from claudeproxy.core.tools import Tool

__all__ = ["count_thoughtful", "head_of", "in_place", "place_after", "placed"]


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def head_of(system: str, functions: Iterable[Tool]) -> bytes:
    """
    Return a digest of what comes before all messages.
    """
    return digest_of((system, *(tool.digest for tool in functions)))


def place_after(head: bytes, messages: Iterable[Message], unknown: int = 0) -> str:
    """
    Return the place of a thought that comes after these messages.

    :param unknown: how many answers among them had thoughts that the messages lack.
    """
    place = sha256(head + b"%d" % unknown)
    for message in messages:
        _pass(place, message)
    return place.hexdigest()


def in_place(head: bytes, messages: Sequence[Message]) -> tuple[Message, ...]:
    """
    Leave out the thoughts that would come after something else than they did.

    The last one counts most: where it was had without earlier ones, it is these that are left out.
    """
    thoughtful = [index for index, message in enumerate(messages) if _thoughts(message)]
    first = None
    for skipped in range(len(thoughtful)):
        told = _in_place(head, messages, thoughtful[:skipped])
        if _thoughts(told[thoughtful[-1]]):
            return told
        first = first or told
    return first or tuple(messages)


def _in_place(head: bytes, messages: Iterable[Message], without: Container[int]) -> tuple[Message, ...]:
    place = sha256(head + b"0")
    told = []
    for index, message in enumerate(messages):
        wanted = {thought.place for thought in _thoughts(message)}
        kept = message if index not in without and wanted <= {place.hexdigest()} else message.shown
        _pass(place, kept)
        told.append(kept)
    return tuple(told)


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


def _pass(place: _Hash, message: Message) -> None:
    place.update(message.digest)
    for thought in _thoughts(message):
        place.update(digest_of((thought.signature, thought.redacted)))


def _thoughts(message: Message) -> list[Thinking]:
    return [part for part in message.parts if isinstance(part, Thinking)]
