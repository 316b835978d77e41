"""
The ways to run a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from claudeproxy.backends.claude.answers.forms import Form, form_tool
from claudeproxy.backends.claude.requests.features import Feature
from claudeproxy.backends.claude.requests.telling import Telling
from claudeproxy.core.chat import Message, TurnSettings
from claudeproxy.core.tools import Tool, ToolUse
from claudeproxy.wire.anthropic import called_functions

__all__ = ["Way"]

_NO_TEXT = " Write no text."


@frozen
class Way:
    """
    One way to run a turn; there is more than one where its model may refuse something.
    """

    settings: TurnSettings
    tools: tuple[Tool, ...]
    """The client's functions."""
    refused: frozenset[Feature]
    """What it has to do without."""
    form: Form | None = None
    """What the answer's text has to be."""
    tool: Tool | None = None
    """The function whose arguments are the answer, when its text is not."""
    request: str = ""
    """What the model is asked for where it cannot be forced."""

    @property
    def functions(self) -> tuple[str, ...]:
        """
        The names that the CLI has to know.
        """
        return tuple(tool.name for tool in (*self.tools, *((self.tool,) if self.tool is not None else ())))

    def telling(self, messages: Sequence[Message] | None) -> Telling:
        """
        Return what the API is told.

        :param messages: the conversation as it is told, when the process has not seen it.
        """
        return Telling.of(self.settings, self.tools, messages, form=self.tool, forces=not self.request)

    def has(self, features: Iterable[Feature]) -> frozenset[Feature]:
        """
        Return those of the turn's features that a request made this way has.
        """
        forced = self.tool is not None or bool(self.tools and self.settings.tool_choice.forced)
        return frozenset(each for each in features if each not in self.refused and (each != Feature.FORCED or forced))

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
        if Feature.SAMPLING in refused:
            settings = evolve(settings, temperature=None, top_p=None)
        if Feature.STRICT in refused:
            tools = tuple(tool.lenient for tool in tools)
        way = cls(settings, tools, refused)
        if settings.text_format is not None:
            if settings.text_format.schema is not None and Feature.FORMAT not in refused:
                return evolve(way, form=Form())
            tool = form_tool(settings.text_format, {*(tool.name for tool in tools), *called_functions(conversation)})
            way = evolve(way, form=Form(tool.name), tool=tool)
        return way._unforced() if Feature.FORCED in refused else way

    def _unforced(self) -> Way:
        """
        Ask the model for what it would be forced to.
        """
        choice = self.settings.tool_choice
        if self.tool is not None:
            others = bool(self.tools) and choice.use is not ToolUse.NONE
            first = "Call the functions that you need. " if others else ""
            return evolve(
                self, request=f"{first}Give your answer by a call of the function {self.tool.name}.{_NO_TEXT}"
            )
        if not self.tools or not choice.forced:
            return self
        wanted = f"Call the function {choice.name}." if choice.use is ToolUse.ONE else "Call at least one function."
        allowed = frozenset({choice.name}) if choice.use is ToolUse.ONE else choice.allowed
        free = evolve(choice, use=ToolUse.AUTO, name="", allowed=allowed)
        # Calls have no form, and with a free choice the settings would ask for one.
        settings = evolve(self.settings, tool_choice=free, format=None)
        return evolve(self, settings=settings, form=Form(calls=True), request=wanted + _NO_TEXT)
