"""
The functions that a client offers to the model, and how the model is to use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from sys import getsizeof
from typing import Any

import msgspec
from attrs import evolve, field, frozen

from claudeproxy.core.arguments import ArgumentNames
from claudeproxy.core.digests import json_digest

__all__ = ["Tool", "ToolChoice", "ToolUse", "offer_key"]


@frozen
class Tool:
    """
    One function, which the client runs when the model calls it.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of its arguments, as the model's API takes it."""
    strict: bool | None = None
    """Whether the arguments must keep to the schema; None when the client did not say."""
    renamed: Mapping[str, str] = field(factory=dict)
    """The client's names of properties that have others in the schema, by these."""
    wrapper: str = ""
    """The property in the schema that all of the client's arguments are below; empty when they are not."""

    @property
    def argument_names(self) -> ArgumentNames:
        """
        How the arguments in the schema differ from the client's.
        """
        return ArgumentNames(self.renamed, self.wrapper)

    @cached_property
    def lenient(self) -> Tool:
        """
        The same function, with no promise about its arguments.
        """
        return self if self.strict is None else evolve(self, strict=None)

    @cached_property
    def size(self) -> int:
        """
        Bytes of memory that it takes, near enough for a bound.
        """
        # Decoded JSON takes some three times what it takes as a text.
        return 500 + len(self.name) + getsizeof(self.description) + 3 * len(msgspec.json.encode(self.schema))

    @cached_property
    def digest(self) -> str:
        """
        What is equal only for the same functions.
        """
        # Not by attrs' asdict, which goes into the schema with several frames for each of its levels.
        told = [self.name, self.description, self.schema, self.strict]
        # Digests are kept over restarts: those of functions that are offered as they came stay as they were.
        return json_digest([*told, self.renamed, self.wrapper] if self.argument_names else told)


def offer_key(tools: Iterable[Tool]) -> tuple[str, ...]:
    """
    Return what is equal only for the same functions in the same order.
    """
    return tuple(tool.digest for tool in tools)


class ToolUse(StrEnum):
    """
    Whether the model calls functions.
    """

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    ONE = "one"


@frozen
class ToolChoice:
    """
    What one turn asks for.
    """

    use: ToolUse = ToolUse.AUTO
    name: str = ""
    """With ``ONE``: which function must be called."""
    parallel: bool = True
    """Whether one answer may hold several calls."""
    allowed: frozenset[str] = frozenset()
    """The functions that may be called in this turn; all of them when it is empty."""

    @property
    def forced(self) -> bool:
        """
        Whether the model has no choice but to call.
        """
        return self.use in (ToolUse.REQUIRED, ToolUse.ONE)
