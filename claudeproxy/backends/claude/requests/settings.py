"""
What a turn asks for, as settings of a live CLI process.

``apply_flag_settings`` takes effect on the next request to the API, and its environment variables reach into the
running CLI (seen with 2.1.329). All of them are named each time, so that a turn's settings end with the turn.

``CLAUDE_CODE_EXTRA_BODY`` takes the place of whole keys of that request. So the functions are sent as the client wrote
them, while the CLI, which would sort them and cut their descriptions, knows no more than their names; and a
conversation that the process has not seen is sent as it is, with the CLI's own history left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from claudeproxy.backends.claude.answers.stops import native
from claudeproxy.backends.claude.requests.effort import effort_level
from claudeproxy.backends.claude.requests.telling import Telling
from claudeproxy.core.chat import TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.wire.anthropic import message_objects

__all__ = ["NEUTRAL", "kept_settings", "turn_settings"]

_WARMEST = 1.0
"""The API's highest temperature; OpenAI's goes to 2."""

_CHOICES = {ToolUse.AUTO: "auto", ToolUse.NONE: "none", ToolUse.REQUIRED: "any", ToolUse.ONE: "tool"}


def turn_settings(model: str, telling: Telling) -> dict[str, object]:
    """
    Return the CLI's settings for one turn of a model.
    """
    settings = telling.settings
    body: dict[str, Any] = {}
    if stop := native(settings.stop):
        body["stop_sequences"] = stop
    if settings.temperature is not None:
        body["temperature"] = min(settings.temperature, _WARMEST)
    if settings.top_p is not None:
        body["top_p"] = settings.top_p
    # Also when there are none: the CLI may know of one that was the answer of another turn.
    body["tools"] = [_definition(tool) for tool in telling.functions]
    if telling.functions:
        body["tool_choice"] = _choice(telling.choice)
    if telling.told is not None:
        names = {tool.name: tool.argument_names for tool in telling.functions if tool.argument_names}
        body["messages"] = message_objects(telling.told, names)
    if settings.text_format is not None and telling.form is None:
        # The CLI adds this to its own, which it does with no other key (seen).
        body["output_config"] = {"format": {"type": "json_schema", "schema": settings.text_format.schema}}
    return {
        "effortLevel": effort_level(model, settings),
        "env": {
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(settings.max_tokens) if settings.max_tokens is not None else "",
            "CLAUDE_CODE_DISABLE_THINKING": "" if telling.thinks else "1",
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(body).decode(),
        },
    }


def kept_settings(model: str, settings: TurnSettings) -> tuple[object, ...]:
    """
    Return what a turn of the CLI keeps until its end, however often the model's functions return something meanwhile;
    all else can change with each request to the API (seen).
    """
    return effort_level(model, settings), settings.max_tokens


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


NEUTRAL = turn_settings("", Telling(TurnSettings()))
"""How a process is started, for whichever model."""
