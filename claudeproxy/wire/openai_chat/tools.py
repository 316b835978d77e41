"""
The functions of a Chat Completions request, and the older parameters for the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from attrs import define
from msgspec import Raw

from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.wire.openai_chat.schema import (
    ChatCompletionRequest,
    ChosenTool,
    FunctionDefinition,
    NamedFunction,
    NamedTool,
    ToolDefinition,
)
from claudeproxy.wire.openai_chat.schemas import fit_tool_schema
from claudeproxy.wire.validation import invalid, missing, not_taken, unsupported

__all__ = ["decode_tool_choice", "decode_tools", "has_legacy_calls"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_SCHEMAS = 50_000
"""In all functions of a request, those within others included."""


def decode_tools(request: ChatCompletionRequest) -> tuple[Tool, ...]:
    """
    Return the functions that the model may call.

    :raises InvalidValue: a name that OpenAI does not allow, or twice the same; a schema that is not an object's or
        nests too deeply.
    :raises UnsupportedParameter: a tool that is no function.
    """
    budget = _Budget()
    tools = [_tool(tool, f"tools[{index}]", budget) for index, tool in enumerate(request.tools or ())]
    tools += [
        _function(function, f"functions[{index}]", budget) for index, function in enumerate(request.functions or ())
    ]
    names: set[str] = set()
    newer = len(request.tools or ())
    for index, tool in enumerate(tools):
        if tool.name in names:
            where = f"tools[{index}].function.name" if index < newer else f"functions[{index - newer}].name"
            raise invalid(where, f"a name that no other function has, not {tool.name!r} again")
        names.add(tool.name)
    return tuple(tools)


def has_legacy_calls(request: ChatCompletionRequest) -> bool:
    """
    Whether the client knows only the older form of a call, of which an answer holds one.
    """
    return bool(request.functions) and not request.tools


def decode_tool_choice(request: ChatCompletionRequest, tools: tuple[Tool, ...]) -> ToolChoice:
    """
    Return how the model is to use the functions.

    :raises InvalidValue: it is to call one that there is not.
    """
    parallel = request.parallel_tool_calls is not False and not has_legacy_calls(request)
    choice = request.tool_choice if request.tool_choice is not None else request.function_call
    param = "tool_choice" if request.tool_choice is not None else "function_call"
    if isinstance(choice, str):
        use = ToolUse(choice)
        if use is ToolUse.REQUIRED and not tools:
            raise invalid(param, "'none' or 'auto' where there are no tools")
        return ToolChoice(use, parallel=parallel)
    if choice is None:
        return ToolChoice(parallel=parallel)
    known = {tool.name for tool in tools}
    if isinstance(choice, ChosenTool) and choice.type == "allowed_tools":
        if choice.allowed_tools is None:
            raise missing("tool_choice.allowed_tools")
        names = [_chosen(tool, known, "tool_choice.allowed_tools.tools") for tool in choice.allowed_tools.tools]
        if not names:
            raise invalid("tool_choice.allowed_tools.tools", "an array of at least one tool")
        return ToolChoice(ToolUse(choice.allowed_tools.mode), parallel=parallel, allowed=frozenset(names))
    return ToolChoice(ToolUse.ONE, _chosen(choice, known, param), parallel)


def _chosen(choice: NamedTool | NamedFunction, known: Collection[str], param: str) -> str:
    """
    Return the name of the tool that is meant.
    """
    function = choice if isinstance(choice, NamedFunction) else choice.function
    if function is None:
        raise unsupported(param, "its type can only be 'function' or 'allowed_tools'")
    if function.name not in known:
        raise invalid(param, "the name of one of the tools")
    return function.name


@define
class _Budget:
    """
    Sees to it that a request's schemas are looked at while nobody waits for long.
    """

    _left: int = _MOST_SCHEMAS

    def take(self, count: int, param: str) -> None:
        self._left -= count
        if self._left < 0:
            raise not_taken(param, f"at most {_MOST_SCHEMAS} schemas in all functions, with those within them")


def _tool(tool: ToolDefinition, param: str, budget: _Budget) -> Tool:
    if tool.type != "function":
        raise unsupported(f"{param}.type", "only tools of type 'function' can be called")
    if tool.function is None:
        raise missing(f"{param}.function")
    return _function(tool.function, f"{param}.function", budget)


def _function(function: FunctionDefinition, param: str, budget: _Budget) -> Tool:
    if not _NAME.fullmatch(function.name):
        raise invalid(f"{param}.name", "1 to 64 letters, digits, underscores or dashes")
    fitted = fit_tool_schema(function.parameters or {"properties": Raw(b"{}")}, f"{param}.parameters")
    budget.take(fitted.count, f"{param}.parameters")
    return Tool(
        function.name,
        function.description or "",
        fitted.schema,
        function.strict,
        fitted.names.renamed,
        fitted.names.wrapper,
    )
