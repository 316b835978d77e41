"""
What the API is told in one turn: which functions, which messages, and whether the model may think.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from attrs import evolve, field, frozen

from claudeproxy.backends.claude.requests.bindings import head_of, in_place
from claudeproxy.core.chat import Effort, Message, Role, Thinking, ToolResult, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.wire.anthropic import called_functions

__all__ = ["Telling"]

_SMALLEST_BUDGET = 1024
"""Tokens of thinking that the API gives at least; a smaller limit for the whole answer leaves no room for any."""


@frozen
class Telling:
    """
    What one request to the API says beside the settings of its turn.
    """

    settings: TurnSettings
    functions: tuple[Tool, ...] = ()
    choice: ToolChoice = field(factory=ToolChoice)
    messages: tuple[Message, ...] | None = None
    """The conversation, when the process has not seen it."""
    form: Tool | None = None
    """The function whose arguments are the answer, when its text is not."""

    @classmethod
    def of(
        cls,
        settings: TurnSettings,
        tools: Sequence[Tool] = (),
        messages: Sequence[Message] | None = None,
        *,
        form: Tool | None = None,
        forces: bool = True,
    ) -> Telling:
        """
        Return what a turn with these settings says.

        :param tools: the client's functions.
        :param messages: as the attribute.
        :param forces: whether the model is left no choice but to call ``form``, or one of the others.
        """
        choice = settings.tool_choice
        if not tools and messages:
            # The API wants to know of every function that a conversation has called.
            tools, choice = tuple(Tool(name) for name in called_functions(messages)), ToolChoice(ToolUse.NONE)
        if choice.allowed:
            tools = [tool for tool in tools if tool.name in choice.allowed]
        if form is not None:
            alone = not tools or choice.use is ToolUse.NONE
            if not forces:
                # Nothing would keep the model from a call of another one.
                tools = () if alone else tools
                choice = ToolChoice(parallel=choice.parallel)
            elif alone:
                choice = ToolChoice(ToolUse.ONE, form.name, parallel=False)
            else:
                choice = ToolChoice(ToolUse.REQUIRED, parallel=choice.parallel)
            tools = (*tools, form)
        return cls(settings, tuple(tools), choice, None if messages is None else tuple(messages), form)

    def head(self, system: str) -> bytes:
        """
        Return a digest of what comes before all messages.
        """
        return head_of(system, self.functions)

    def in_place(self, head: bytes) -> Telling:
        """
        Leave out the thoughts that would come after something else than they did.
        """
        return self if self.messages is None else evolve(self, messages=in_place(head, self.messages))

    @cached_property
    def thinks(self) -> bool:
        """
        Whether the model may think: the API lets it where it is free, and has the room.
        """
        settings = self.settings
        return (
            settings.effort is not Effort.NONE
            and not (self.functions and self.choice.forced)
            and (settings.max_tokens is None or settings.max_tokens > _SMALLEST_BUDGET)
            and settings.temperature is None
            and settings.top_p is None
            and (self.messages is None or _may_think(self.messages))
        )

    @cached_property
    def told(self) -> tuple[Message, ...] | None:
        """
        The messages as they are sent: without thoughts where the model may have none.
        """
        if self.messages is None or self.thinks:
            return self.messages
        return tuple(message.shown for message in self.messages)


def _may_think(messages: Sequence[Message]) -> bool:
    """
    Whether the API lets the model think on. What it thought before it called functions the API wants back, and the
    beginning of an answer leaves no place for a thought.
    """
    if not messages or messages[-1].role is Role.ASSISTANT:
        return False
    last = next((index for index in reversed(range(len(messages))) if messages[index].role is Role.ASSISTANT), None)
    if last is None:
        return True
    answers_calls = any(isinstance(part, ToolResult) for message in messages[last:] for part in message.parts)
    return not answers_calls or isinstance(messages[last].parts[0], Thinking)
