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

from claudeproxy.core.chat import Effort, Message, Role, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.wire.anthropic import message_objects

__all__ = ["NEUTRAL", "turn_settings"]

_SMALLEST_BUDGET = 1024
"""Tokens of thinking that the API gives at least; a smaller limit for the whole answer leaves no room for any."""

_CHOICES = {ToolUse.AUTO: "auto", ToolUse.NONE: "none", ToolUse.REQUIRED: "any", ToolUse.ONE: "tool"}


def turn_settings(
    settings: TurnSettings,
    tools: Sequence[Tool] = (),
    messages: Sequence[Message] | None = None,
    *,
    parked: bool = False,
) -> dict[str, object]:
    """
    Return the CLI's settings for one turn.

    :param messages: the conversation, when the process has not seen it.
    :param parked: whether the process waits in the middle of a turn, which keeps its limit of tokens and its effort
        unless the request itself says otherwise (seen).
    """
    thinks = (
        settings.effort is not Effort.NONE
        and not (messages and _answers_calls(messages))
        and not (tools and settings.tool_choice.forced)
        and (settings.max_tokens is None or settings.max_tokens > _SMALLEST_BUDGET)
    )
    effort = None if settings.effort in (None, Effort.NONE) else settings.effort.value
    body: dict[str, Any] = {}
    if settings.stop:
        body["stop_sequences"] = settings.stop
    choice = settings.tool_choice
    if not tools and messages:
        # The API wants to know of every function that a conversation has called.
        tools, choice = _called(messages), ToolChoice(ToolUse.NONE)
    if tools:
        body["tools"] = [_definition(tool) for tool in tools]
        body["tool_choice"] = _choice(choice)
    if messages is not None:
        body["messages"] = message_objects(messages)
    if parked and settings.max_tokens is not None:
        body["max_tokens"] = settings.max_tokens
    if parked and effort is not None:
        body["output_config"] = {"effort": effort}
    return {
        "effortLevel": effort,
        "env": {
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(settings.max_tokens) if settings.max_tokens is not None else "",
            "CLAUDE_CODE_DISABLE_THINKING": "" if thinks else "1",
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(body).decode(),
        },
    }


def _answers_calls(messages: Sequence[Message]) -> bool:
    """
    Whether the last answer waits for its calls. What was thought before them is not known, and the API wants it back
    when the model goes on thinking.
    """
    roles = [message.role for message in messages]
    since = len(roles) - roles[::-1].index(Role.ASSISTANT) if Role.ASSISTANT in roles else len(roles)
    return any(isinstance(part, ToolResult) for message in messages[since:] for part in message.parts)


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
