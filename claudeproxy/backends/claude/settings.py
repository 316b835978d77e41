"""
What a turn asks for, as settings of a live CLI process.

``apply_flag_settings`` takes effect on the next request to the API, and its environment variables reach into the
running CLI (seen with 2.1.329). All of them are named each time, so that a turn's settings end with the turn.

``CLAUDE_CODE_EXTRA_BODY`` takes the place of whole keys of that request. So the functions are sent as the client wrote
them, while the CLI, which would sort them and cut their descriptions, knows no more than their names; and a
conversation that the process has not seen is sent as it is, with the CLI's own history left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from claudeproxy.core.chat import Effort, Message, Role, Text, Thinking, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.wire.anthropic import message_objects

__all__ = ["NEUTRAL", "asks_for_form", "kept_settings", "turn_settings"]

_SMALLEST_BUDGET = 1024
"""Tokens of thinking that the API gives at least; a smaller limit for the whole answer leaves no room for any."""
_WARMEST = 1.0
"""The API's highest temperature; OpenAI's goes to 2."""

_CHOICES = {ToolUse.AUTO: "auto", ToolUse.NONE: "none", ToolUse.REQUIRED: "any", ToolUse.ONE: "tool"}


def turn_settings(
    settings: TurnSettings,
    tools: Sequence[Tool] = (),
    messages: Sequence[Message] | None = None,
    *,
    form: Tool | None = None,
) -> dict[str, object]:
    """
    Return the CLI's settings for one turn.

    :param messages: the conversation, when the process has not seen it.
    :param form: the function whose arguments are the answer, when its text is not.
    """
    told = None if messages is None else _told(messages)
    choice = settings.tool_choice
    if not tools and messages:
        # The API wants to know of every function that a conversation has called.
        tools, choice = _called(messages), ToolChoice(ToolUse.NONE)
    if choice.allowed:
        tools = [tool for tool in tools if tool.name in choice.allowed]
    if form is not None:
        choice = _choice_beside(form, choice if tools else ToolChoice(ToolUse.NONE))
        tools = (*tools, form)
    thinks = (
        settings.effort is not Effort.NONE
        and not (tools and choice.forced)
        and (settings.max_tokens is None or settings.max_tokens > _SMALLEST_BUDGET)
        and settings.temperature is None
        and settings.top_p is None
        and (told is None or _may_think(told))
    )
    body: dict[str, Any] = {}
    if settings.stop:
        body["stop_sequences"] = settings.stop
    if settings.temperature is not None:
        body["temperature"] = min(settings.temperature, _WARMEST)
    if settings.top_p is not None:
        body["top_p"] = settings.top_p
    # Also when there are none: the CLI may know of one that was the answer of another turn.
    body["tools"] = [_definition(tool) for tool in tools]
    if tools:
        body["tool_choice"] = _choice(choice)
    if told is not None:
        body["messages"] = message_objects(told if thinks else [message.shown for message in told])
    if settings.format is not None and form is None and asks_for_form(settings):
        # The CLI adds this to its own, which it does with no other key (seen).
        body["output_config"] = {"format": {"type": "json_schema", "schema": settings.format.schema}}
    return {
        "effortLevel": _effort(settings),
        "env": {
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(settings.max_tokens) if settings.max_tokens is not None else "",
            "CLAUDE_CODE_DISABLE_THINKING": "" if thinks else "1",
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(body).decode(),
        },
    }


def kept_settings(settings: TurnSettings) -> tuple[object, ...]:
    """
    Return what a turn of the CLI keeps until its end, however often the model's functions return something meanwhile;
    all else can change with each request to the API (seen).
    """
    return _effort(settings), settings.max_tokens


def _effort(settings: TurnSettings) -> str | None:
    return None if settings.effort in (None, Effort.NONE) else settings.effort.value


def asks_for_form(settings: TurnSettings) -> bool:
    """
    Whether the answer's text is to have a form; one that must call a function has no text.
    """
    return settings.format is not None and not settings.tool_choice.forced


def _choice_beside(form: Tool, choice: ToolChoice) -> ToolChoice:
    """
    Return the choice that makes a model answer by a function, where it is free to call one of the client's instead.
    """
    if choice.use is ToolUse.AUTO:
        return ToolChoice(ToolUse.REQUIRED, parallel=choice.parallel)
    return ToolChoice(ToolUse.ONE, form.name, parallel=False)


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


def _told(messages: Sequence[Message]) -> list[Message]:
    """
    Leave out what was thought before the user's last words; since then the API wants it.
    """
    since = max(
        (
            index
            for index, message in enumerate(messages)
            if message.role is Role.USER and any(isinstance(part, Text) for part in message.parts)
        ),
        default=0,
    )
    return [message if index > since else message.shown for index, message in enumerate(messages)]


def _called(messages: Sequence[Message]) -> tuple[Tool, ...]:
    calls = (part for message in messages for part in message.parts if isinstance(part, ToolCall))
    return tuple(Tool(name) for name in dict.fromkeys(call.name for call in calls))


def _definition(tool: Tool) -> dict[str, Any]:
    definition: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema}
    if tool.description:
        definition["description"] = tool.description
    if tool.strict is not None:
        definition["strict"] = tool.strict
    return definition


def _choice(choice: ToolChoice) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _CHOICES[choice.use]}
    if choice.use is ToolUse.ONE:
        found["name"] = choice.name
    if not choice.parallel and choice.use is not ToolUse.NONE:
        found["disable_parallel_tool_use"] = True
    return found


NEUTRAL = turn_settings(TurnSettings())
"""How a process is started."""
