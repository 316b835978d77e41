"""
The arguments of calls where a backend knows a function's parameters by other names than the client.

A model's API may refuse a property's name, or a schema that is not plainly an object's. The function is then offered
with names that the API takes, or with all of its arguments below one property of our own, and what the model calls it
with is changed back. Arguments come as pieces of JSON that may begin and end anywhere, within an escape too, so they
are read by a small automaton that looks at keys and passes on the rest to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from attrs import define, field, frozen

__all__ = ["ArgumentNames", "ArgumentReader"]

_IN_STRING = re.compile(r'[^"\\]*')
_BETWEEN = re.compile(r'[^"{}\[\],:]*')
_BLANKS = " \t\r\n"
_LONGEST_KEY = 4096
"""Characters of a key that are held back; a longer one is none of ours."""


@frozen
class ArgumentNames:
    """
    How a function's arguments differ between the model's API and the client.
    """

    renamed: Mapping[str, str] = field(factory=dict)
    """The client's names of properties, by those that the API is told. The latter are made so that no other property,
    at whatever depth, has one by chance."""
    wrapper: str = ""
    """The property that all arguments are told below; empty when there is none."""

    def __bool__(self) -> bool:
        return bool(self.renamed or self.wrapper)

    def told(self, arguments: str) -> str:
        """
        Return a call's arguments as the API is told them. A text that is no JSON stays one.
        """
        if self.renamed:
            told = {name: each for each, name in self.renamed.items()}
            arguments = _changed(arguments, ArgumentNames(told))
        # Blank arguments mean an empty object.
        return f"{{{json.dumps(self.wrapper)}: {arguments.strip() or '{}'}}}" if self.wrapper else arguments

    def known(self, arguments: str) -> str:
        """
        Return what the model called the function with as the client knows it.
        """
        return _changed(arguments, self)

    def reader(self) -> ArgumentReader:
        """
        Return what does the same piece by piece.
        """
        return ArgumentReader(self.renamed, self.wrapper)


def _changed(arguments: str, names: ArgumentNames) -> str:
    reader = names.reader()
    return reader.feed(arguments) + reader.rest()


@define(eq=False)
class ArgumentReader:
    """
    Changes the names in one call's arguments while they come.
    """

    _renamed: Mapping[str, str]
    _wrapper: str
    _kinds: list[str] = field(init=False, factory=list)
    """The objects and arrays that are open, each as its opening bracket."""
    _key: list[str] | None = field(init=False, default=None)
    """The key that grows, with its first quote."""
    _held: int = field(init=False, default=0)
    """Characters of it."""
    _expects_key: bool = field(init=False, default=False)
    _in_string: bool = field(init=False, default=False)
    _escaped: bool = field(init=False, default=False)
    """Whether the last character was a backslash within a string."""
    _opening: list[str] | None = field(init=False)
    """What came before the wrapper's value, while it may be the wrapper; None when that is decided."""
    _unwraps: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    """Whether the wrapper's value is over; nothing is passed on after that."""

    def __attrs_post_init__(self) -> None:
        self._opening = [] if self._wrapper else None

    def feed(self, piece: str) -> str:
        """
        Return what the client gets for a piece. A key is held back until it is complete.
        """
        out: list[str] = []
        at = 0
        while at < len(piece):
            at = self._within(piece, at, out) if self._in_string else self._outside(piece, at, out)
        return "".join(out)

    def rest(self) -> str:
        """
        Return what is still held back, where the arguments have ended.
        """
        held = "".join((*(self._opening or ()), *(self._key or ())))
        self._opening, self._key = None, None
        return "" if self._closed else held

    def _pass(self, text: str, out: list[str]) -> None:
        if self._opening is not None:
            self._opening.append(text)
        elif not self._closed:
            out.append(text)

    def _within(self, piece: str, at: int, out: list[str]) -> int:
        """Go on in a string."""
        if self._escaped:
            self._escaped = False
            end = at + 1
        else:
            found = _IN_STRING.match(piece, at)
            end = found.end() if found is not None else at
            if end < len(piece):
                self._escaped = piece[end] == "\\"
                self._in_string = self._escaped
                end += 1
        if self._key is None:
            self._pass(piece[at:end], out)
            return end
        self._key.append(piece[at:end])
        self._held += end - at
        if not self._in_string or self._held > _LONGEST_KEY:
            key, self._key = "".join(self._key), None
            self._take_key(key, out)
        return end

    def _take_key(self, written: str, out: list[str]) -> None:
        try:
            name = json.loads(written)
        except ValueError:
            name = None
        if self._opening is not None and len(self._kinds) == 1:
            if name == self._wrapper:
                self._opening.append(written)
                self._unwraps = True
                return
            self._is_not_wrapped(out)
        known = self._renamed.get(name) if isinstance(name, str) else None
        self._pass(written if known is None else json.dumps(known, ensure_ascii=False), out)

    def _is_not_wrapped(self, out: list[str]) -> None:
        """The model has left out what the arguments were to be below, or has something else there than an object."""
        opening, self._opening = self._opening or [], None
        self._unwraps = False
        self._pass("".join(opening), out)

    def _outside(self, piece: str, at: int, out: list[str]) -> int:
        """Go on between strings."""
        found = _BETWEEN.match(piece, at)
        end = found.end() if found is not None else at
        if end > at:
            self._pass_between(piece[at:end], out)
        if end == len(piece):
            return end
        character = piece[end]
        if self._unwraps and self._opening is not None and character != ":":
            if character == "{":
                self._opening = None
            else:
                self._is_not_wrapped(out)
        if character == '"':
            self._in_string = True
            if self._expects_key and self._renames_here:
                self._key, self._held = ['"'], 1
                self._expects_key = False
                return end + 1
        elif character in "{[":
            self._kinds.append(character)
            self._expects_key = character == "{"
        elif character in "}]":
            if self._kinds:
                self._kinds.pop()
            self._expects_key = False
        elif character == ",":
            self._expects_key = bool(self._kinds) and self._kinds[-1] == "{"
        if self._unwraps:
            self._unwrapped(character, out)
        else:
            self._pass(character, out)
        return end + 1

    @property
    def _renames_here(self) -> bool:
        return bool(self._renamed) or (self._opening is not None and len(self._kinds) == 1)

    def _pass_between(self, text: str, out: list[str]) -> None:
        blank = not text.strip(_BLANKS)
        if self._unwraps and self._opening is not None and not blank:
            self._is_not_wrapped(out)
        if not (blank and self._unwraps and self._opening is None and len(self._kinds) == 1):
            self._pass(text, out)

    def _unwrapped(self, character: str, out: list[str]) -> None:
        """Take a character of the wrapper, or of its value."""
        depth = len(self._kinds)
        if self._opening is None and (depth == 0 or (depth == 1 and character == ",")):
            self._closed = True
        self._pass(character, out)
