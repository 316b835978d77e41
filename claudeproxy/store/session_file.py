"""
Sessions on disk, so that they outlive the daemon.

One file, written as a whole: beside the old one first, then in its place, so that there is always one that can be read.
It is read and written by one daemon; nobody else on the machine can read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field, fields

from claudeproxy.core.chat import (
    Document,
    Image,
    ImageLink,
    Message,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from claudeproxy.core.sessions import Session
from claudeproxy.core.tools import Tool, offer_key

__all__ = ["SessionFile"]

_VERSION = 2
_KINDS: Mapping[str, type[Part]] = {
    "text": Text,
    "image": Image,
    "link": ImageLink,
    "document": Document,
    "call": ToolCall,
    "result": ToolResult,
    "thinking": Thinking,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

_encode = msgspec.json.Encoder().encode


@define
class SessionFile:
    """
    The file ``sessions.json`` of a state directory.
    """

    _directory: Path

    @property
    def path(self) -> Path:
        """
        Where it is.
        """
        return self._directory / "sessions.json"

    def read(self) -> list[Session]:
        """
        Return the sessions that were written last; none when there is no file.

        :raises OSError: it cannot be read.
        :raises ValueError: it is none of ours.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            found = msgspec.json.decode(content)
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']!r}")
            offers = [tuple(Tool(**each) for each in offer) for offer in found["offers"]]
            return [_session(each, offers) for each in found["sessions"]]
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def write(self, sessions: Iterable[Session]) -> None:
        """
        Write these sessions in the place of those that were there.

        :raises OSError: it cannot be written; the old ones are still there then.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        offers = _Offers()
        written = [_session_value(session, offers) for session in sessions]
        content = _encode({"version": _VERSION, "offers": offers.values, "sessions": written})
        beside = self.path.with_suffix(".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)


@define
class _Offers:
    """
    The functions that sessions have, which are written once for all that have the same.
    """

    values: list[list[dict[str, Any]]] = field(init=False, factory=list)
    _places: dict[tuple[str, ...], int] = field(init=False, factory=dict)

    def place(self, tools: tuple[Tool, ...]) -> int:
        """
        Return where these are among them.
        """
        place = self._places.setdefault(offer_key(tools), len(self.values))
        if place == len(self.values):
            self.values.append([_value(tool) for tool in tools])
        return place


def _session_value(session: Session, offers: _Offers) -> dict[str, Any]:
    messages = [{"role": each.role, "parts": [_part_value(part) for part in each.parts]} for each in session.messages]
    return {**_value(session), "messages": messages, "tools": offers.place(session.tools)}


def _part_value(part: Part) -> dict[str, Any]:
    value = {"is": _NAMES[type(part)], **_value(part)}
    if isinstance(part, ToolResult):
        value["content"] = [_part_value(each) for each in part.content]
    return value


def _value(value: Any) -> dict[str, Any]:
    return {attribute.name: getattr(value, attribute.name) for attribute in fields(type(value))}


def _session(value: dict[str, Any], offers: Sequence[tuple[Tool, ...]]) -> Session:
    messages = tuple(Message(Role(each["role"]), _parts(each["parts"])) for each in value["messages"])
    return Session(**{**value, "messages": messages, "tools": offers[value["tools"]]})


def _parts(values: list[dict[str, Any]]) -> Iterator[Part]:
    for value in values:
        made = {name: each for name, each in value.items() if name != "is"}
        if value["is"] == "result":
            made["content"] = tuple(_parts(value["content"]))
        yield _KINDS[value["is"]](**made)
