"""
The ways to run a turn.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from claudeproxy.backends.claude.features import Feature
from claudeproxy.backends.claude.forms import Form, form_tool
from claudeproxy.backends.claude.settings import asks_for_form
from claudeproxy.core.chat import Message, ToolCall, TurnSettings
from claudeproxy.core.tools import Tool

__all__ = ["Way"]


@frozen
class Way:
    """
    One way to run a turn; there is more than one where its model may refuse something.
    """

    settings: TurnSettings
    refused: frozenset[Feature]
    """What it has to do without."""
    form: Form | None
    """What the answer's text has to be."""
    tool: Tool | None
    """The function whose arguments are the answer, when its text is not."""

    def functions(self, tools: Iterable[Tool]) -> tuple[str, ...]:
        """
        Return the names that the CLI has to know, where the client has these functions.
        """
        return tuple(tool.name for tool in (*tools, *((self.tool,) if self.tool is not None else ())))

    @classmethod
    def of(
        cls,
        settings: TurnSettings,
        tools: tuple[Tool, ...],
        conversation: Iterable[Message],
        refused: frozenset[Feature],
    ) -> Way:
        """
        Return the way that does without what is refused.
        """
        if settings.format is None or not asks_for_form(settings):
            return cls(settings, refused, None, None)
        if settings.format.schema is not None and Feature.FORMAT not in refused:
            return cls(settings, refused, Form(), None)
        called = (part.name for each in conversation for part in each.parts if isinstance(part, ToolCall))
        tool = form_tool(settings.format, {*(tool.name for tool in tools), *called})
        return cls(settings, refused, Form(tool.name), tool)
