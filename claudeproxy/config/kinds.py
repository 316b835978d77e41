"""
How values are written: one kind for each type of setting, each with its parser and its writer.

A parser raises ``ValueError`` without a message: what is allowed is said by :attr:`Kind.allowed`, and where the value
came from is known only to :mod:`claudeproxy.config.sources`.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from attrs import field, frozen

__all__ = ["MODEL_NAME", "Boolean", "Choice", "Integer", "Key", "Kind", "Milliseconds", "Pattern", "Secret"]

MODEL_NAME = r"[A-Za-z0-9._:/@+\[\]-]+"
"""Brackets too: ``sonnet[1m]`` is a name."""

T = TypeVar("T")


@frozen(repr=False)
class Secret:
    """
    A value that must not be seen in a log, a traceback or on the terminal.
    """

    value: str

    def __repr__(self) -> str:
        return "***"


class Kind(ABC, Generic[T]):
    """
    How one type of value is written.
    """

    secret: bool = False
    """Whether the value must be masked."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """
        What is allowed, to follow the words "must be".
        """

    @abstractmethod
    def parse(self, text: str) -> T:
        """
        Read an option or an environment variable.
        """

    def from_toml(self, value: object) -> T:
        """
        Read a value of the configuration file.
        """
        if not isinstance(value, str):
            raise ValueError
        return self.parse(value)

    def render(self, value: T) -> str:
        """
        Write the value as :meth:`parse` reads it; secrets are masked.
        """
        return str(value)

    def render_toml(self, value: T) -> str:
        """
        Write the value as a TOML file has it; secrets are masked.
        """
        return json.dumps(self.render(value), ensure_ascii=False)


@frozen
class Integer(Kind[int]):
    """
    A whole number: digits and nothing else.
    """

    minimum: int
    maximum: int = 10**12

    @property
    def allowed(self) -> str:
        if self.maximum == 10**12:
            return f"a whole number of at least {self.minimum}"
        return f"a whole number from {self.minimum} to {self.maximum}"

    def parse(self, text: str) -> int:
        if not re.fullmatch("[0-9]{1,13}", text):
            raise ValueError
        return self.from_toml(int(text))

    def from_toml(self, value: object) -> int:
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise ValueError
        return value

    def render_toml(self, value: int) -> str:
        return self.render(value)


@frozen
class Milliseconds(Kind[float]):
    """
    A span of time: written in whole milliseconds, held in seconds.
    """

    minimum: int

    @property
    def allowed(self) -> str:
        return f"a whole number of milliseconds, at least {self.minimum}"

    def parse(self, text: str) -> float:
        return Integer(self.minimum).parse(text) / 1000

    def from_toml(self, value: object) -> float:
        return Integer(self.minimum).from_toml(value) / 1000

    def render(self, value: float) -> str:
        return str(round(value * 1000))

    def render_toml(self, value: float) -> str:
        return self.render(value)


@frozen
class Boolean(Kind[bool]):
    """
    Yes or no, in any case.
    """

    allowed = "true, 1, yes, false, 0 or no"

    def parse(self, text: str) -> bool:
        match text.lower():
            case "true" | "1" | "yes":
                return True
            case "false" | "0" | "no":
                return False
        raise ValueError

    def from_toml(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    def render(self, value: bool) -> str:
        return "true" if value else "false"

    def render_toml(self, value: bool) -> str:
        return self.render(value)


@frozen
class Choice(Kind[str]):
    """
    One of a few words.
    """

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise ValueError
        return text


@frozen
class Pattern(Kind[str]):
    """
    A text that a regular expression matches as a whole.
    """

    pattern: str
    allowed: str = field()

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError
        return text


@frozen
class Key(Kind[Secret]):
    """
    One key or token; it will travel in a header.
    """

    secret = True
    allowed = "printable ASCII characters without spaces"

    def parse(self, text: str) -> Secret:
        if not re.fullmatch("[!-~]+", text):
            raise ValueError
        return Secret(text)

    def render(self, value: Secret) -> str:
        return repr(value)
