"""
Functions, calls and their results in requests of Chat Completions.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from claudeproxy.core.chat import Message, Role, Text, ToolCall, ToolResult
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.errors import ClaudeProxyError, InvalidValue, MissingParameter, UnsupportedParameter
from claudeproxy.wire.openai_chat import ChatBody, decode_request

HELLO = {"role": "user", "content": "Hello"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    """A tool of the request."""
    return {"type": "function", "function": {"name": name, **fields}}


def call(call_id: str = "call_1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """A call in an answer."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    """An answer that calls functions."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: str = "call_1", content: Any = "42") -> dict[str, Any]:
    """A call's result."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    """A choice of some of the functions."""
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def decoded(*messages: dict[str, Any], **parameters: Any) -> ChatBody:
    """A request as it is understood."""
    return decode_request(json.dumps({"model": "m", "messages": [*messages], **parameters}).encode())


def refused(*messages: dict[str, Any], **parameters: Any) -> tuple[type[ClaudeProxyError], str | None]:
    """The error that a request gets, and the parameter that it names."""
    with pytest.raises(ClaudeProxyError) as raised:
        decoded(*messages, **parameters)
    return raised.type, raised.value.param


# -- Functions ----------------------------------------------------------------


def test_functions_are_taken_as_they_are() -> None:
    """Name, description and schema arrive unchanged; one without a schema takes no arguments."""
    tools = [function(description="Weather.\n\nIn a city.", parameters=SCHEMA, strict=True), function("g-h_1")]

    assert decoded(HELLO, tools=tools).tools == (
        Tool("f", "Weather.\n\nIn a city.", SCHEMA, True),
        Tool("g-h_1", "", {"type": "object", "properties": {}}, None),
    )


def test_the_older_parameters_mean_the_same() -> None:
    """``functions`` and ``function_call`` are understood."""
    body = decoded(HELLO, functions=[{"name": "f", "parameters": SCHEMA}], function_call={"name": "f"})

    assert body.tools == (Tool("f", "", SCHEMA, None),)
    assert body.settings.tool_choice == ToolChoice(ToolUse.ONE, "f", parallel=False)
    assert body.ignored == ()


@pytest.mark.parametrize(
    ("parameters", "choice"),
    [
        ({}, ToolChoice()),
        ({"tool_choice": "auto"}, ToolChoice()),
        ({"tool_choice": "none"}, ToolChoice(ToolUse.NONE)),
        ({"tool_choice": "required"}, ToolChoice(ToolUse.REQUIRED)),
        ({"tool_choice": function("g")}, ToolChoice(ToolUse.ONE, "g")),
        ({"parallel_tool_calls": False}, ToolChoice(parallel=False)),
        ({"tool_choice": allowed("auto", "g")}, ToolChoice(allowed=frozenset("g"))),
        ({"tool_choice": allowed("required", "f", "g")}, ToolChoice(ToolUse.REQUIRED, allowed=frozenset("fg"))),
        ({"tool_choice": "required", "parallel_tool_calls": True}, ToolChoice(ToolUse.REQUIRED)),
    ],
)
def test_how_functions_are_used(parameters: dict[str, Any], choice: ToolChoice) -> None:
    """The model may, must or must not call, or must call one; and nothing of that is reported as ignored."""
    body = decoded(HELLO, tools=[function("f"), function("g")], **parameters)

    assert body.settings.tool_choice == choice
    assert body.ignored == ()


@pytest.mark.parametrize(
    ("parameters", "error", "param"),
    [
        ({"tools": [function("a b")]}, InvalidValue, "tools[0].function.name"),
        ({"tools": [function("x" * 65)]}, InvalidValue, "tools[0].function.name"),
        ({"tools": [function(""), function("")]}, InvalidValue, "tools[0].function.name"),
        ({"tools": [function("f"), function("f")]}, InvalidValue, "tools[1].function.name"),
        ({"tools": [function(parameters={"type": "array"})]}, InvalidValue, "tools[0].function.parameters"),
        ({"tools": [function(parameters=[])]}, InvalidValue, "tools[0].function.parameters"),
        ({"tools": [function(f"f{n}") for n in range(129)]}, InvalidValue, "tools"),
        ({"tools": [{"type": "function"}]}, MissingParameter, "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, UnsupportedParameter, "tools[0].type"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, InvalidValue, "functions[1].name"),
        ({"tool_choice": "required"}, InvalidValue, "tool_choice"),
        ({"tools": [function()], "tool_choice": function("g")}, InvalidValue, "tool_choice"),
        ({"tools": [function()], "tool_choice": {"type": "custom"}}, UnsupportedParameter, "tool_choice"),
        (
            {"tools": [function()], "tool_choice": {"type": "allowed_tools"}},
            MissingParameter,
            "tool_choice.allowed_tools",
        ),
        (
            {"tools": [function()], "tool_choice": allowed("auto")},
            InvalidValue,
            "tool_choice.allowed_tools.tools",
        ),
        (
            {"tools": [function()], "tool_choice": allowed("none", "f")},
            InvalidValue,
            "tool_choice.allowed_tools.mode",
        ),
        (
            {"tools": [function()], "tool_choice": allowed("auto", "f", "g")},
            InvalidValue,
            "tool_choice.allowed_tools.tools",
        ),
        ({"function_call": {"name": "f"}}, InvalidValue, "function_call"),
    ],
)
def test_what_is_wrong_with_functions_is_named(
    parameters: dict[str, Any], error: type[ClaudeProxyError], param: str
) -> None:
    """A function that could not be offered as it is, is refused, not left out."""
    assert refused(HELLO, **parameters) == (error, param)


# -- Calls and results --------------------------------------------------------


def test_calls_and_results_are_parts_of_the_conversation() -> None:
    """A call keeps its id and the text of its arguments; results come in any order."""
    body = decoded(
        HELLO,
        answer(call("a", "f", '{"x": 1.0}'), call("b", "g"), content="Let me see."),
        result("b", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
        result("a"),
        HELLO,
    )

    assert body.messages[1:4] == (
        Message(Role.ASSISTANT, (Text("Let me see."), ToolCall("a", "f", '{"x": 1.0}'), ToolCall("b", "g", "{}"))),
        Message(Role.USER, (ToolResult("b", (Text("one"), Text("two"))),)),
        Message(Role.USER, (ToolResult("a", (Text("42"),)),)),
    )


@pytest.mark.parametrize("content", [None, "", []])
def test_a_request_may_end_with_a_result(content: Any) -> None:
    """An answer that only calls has no text, and after the results the model goes on."""
    body = decoded(HELLO, {**answer(call()), "content": content}, result(content=""))

    assert body.messages[1:] == (
        Message(Role.ASSISTANT, (ToolCall("call_1", "f", "{}"),)),
        Message(Role.USER, (ToolResult("call_1"),)),
    )


def test_the_older_form_of_a_call() -> None:
    """``function_call`` and the role ``function`` belong together by the function's name."""
    body = decoded(
        HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    )
    (called,), (returned,) = body.messages[1].parts, body.messages[2].parts

    assert isinstance(called, ToolCall)
    assert returned == ToolResult(called.call_id, (Text("42"),))


@pytest.mark.parametrize(
    ("messages", "error", "param"),
    [
        ([answer(call())], InvalidValue, "messages[1]"),
        ([answer(call()), HELLO], InvalidValue, "messages[2]"),
        ([answer(call("a"), call("b")), result("a")], InvalidValue, "messages[2]"),
        ([answer(call("a"), call("b")), result("a"), HELLO], InvalidValue, "messages[3]"),
        ([answer(call("a"), call("b")), result("a"), answer(call("c"))], InvalidValue, "messages[3]"),
        ([answer(call("a")), result("z")], InvalidValue, "messages[2].tool_call_id"),
        ([answer(call("a")), result("a"), result("a")], InvalidValue, "messages[3].tool_call_id"),
        ([answer(call("a"), call("a"))], InvalidValue, "messages[1].tool_calls[1].id"),
        ([answer(call()), {"role": "tool", "content": "x"}], MissingParameter, "messages[2].tool_call_id"),
        ([answer(call()), {"role": "tool", "tool_call_id": "call_1"}], MissingParameter, "messages[2].content"),
        ([answer({"type": "function", "function": {"name": "f"}})], MissingParameter, "messages[1].tool_calls[0].id"),
        ([answer({"id": "a"})], MissingParameter, "messages[1].tool_calls[0].function"),
        ([answer({"id": "a", "type": "custom"})], UnsupportedParameter, "messages[1].tool_calls[0].type"),
        ([answer(call()), {"role": "function", "name": "g", "content": "x"}], InvalidValue, "messages[2].name"),
        ([{"role": "function", "content": "x"}], MissingParameter, "messages[1].name"),
    ],
)
def test_calls_and_results_must_fit(messages: list[dict[str, Any]], error: type[ClaudeProxyError], param: str) -> None:
    """Every call has one result, right after the answer that holds it; what does not fit is named."""
    assert refused(HELLO, *messages) == (error, param)


def test_results_may_come_alone() -> None:
    """A client that names its session sends only what is new; whether the results fit, the session knows."""
    assert decoded(result("a"), result("b")).messages == (
        Message(Role.USER, (ToolResult("a", (Text("42"),)),)),
        Message(Role.USER, (ToolResult("b", (Text("42"),)),)),
    )


def test_missing_results_are_named() -> None:
    """A client learns which of its calls have no result."""
    with pytest.raises(InvalidValue, match=r"none: call_b, call_d\.$"):
        decoded(HELLO, answer(*(call(f"call_{n}") for n in "abcd")), result("call_c"), result("call_a"))
