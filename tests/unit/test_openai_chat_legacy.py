"""
Calls of functions in the form that came before tool calls.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from claudeproxy.core.chat import Message, Role, Text, ToolCall, ToolResult
from claudeproxy.core.events import (
    Finished,
    FinishReason,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.core.tools import ToolChoice, ToolUse
from claudeproxy.errors import InvalidValue
from claudeproxy.wire.openai_chat import ChatBody, decode_request
from tests.unit.test_openai_chat_answer import chunks, stream, whole

END: list[StreamEvent] = [UsageReport(Usage()), Finished(FinishReason.TOOL_CALLS)]
CALL: list[StreamEvent] = [ToolCallStarted(0, "toolu_1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ": 1}")]
F = {"name": "f", "parameters": {"type": "object"}}


def decoded(**fields: Any) -> ChatBody:
    """A request with these fields."""
    messages = [{"role": "user", "content": "x"}]
    return decode_request(json.dumps({"model": "m", "messages": messages, **fields}).encode())


def test_a_call_streams_its_name_and_then_its_arguments() -> None:
    """There is no id and no index; the reason for the end is the older form's too."""
    read = chunks(stream([*CALL, *END], legacy_calls=True))

    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in read] == [
        ({"role": "assistant", "content": None}, None),
        ({"function_call": {"name": "f", "arguments": ""}}, None),
        ({"function_call": {"arguments": '{"a"'}}, None),
        ({"function_call": {"arguments": ": 1}"}}, None),
        ({}, "function_call"),
    ]


@pytest.mark.parametrize("said", ["", "Let me see."])
def test_streamed_or_not_a_call_is_the_same(said: str) -> None:
    """A client that puts the stream together has the message of the whole answer."""
    events = [*([TextDelta(said)] if said else []), *CALL, *END]
    state = ChatCompletionStreamState()
    for chunk in chunks(stream(events, legacy_calls=True)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    choice = whole(events, legacy_calls=True)["choices"][0]
    streamed = state.current_completion_snapshot.choices[0]

    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert choice["message"]["content"] == (said or None)
    assert "tool_calls" not in choice["message"]
    assert streamed.message.function_call is not None
    assert streamed.message.function_call.model_dump() == choice["message"]["function_call"]
    assert (streamed.finish_reason, choice["finish_reason"]) == ("function_call", "function_call")
    ChatCompletion.model_validate(whole(events, legacy_calls=True), strict=True)


def test_a_second_call_has_no_place() -> None:
    """A model that calls twice all the same is heard once; a call without arguments has an empty object."""
    events = [
        ToolCallStarted(0, "toolu_1", "f"),
        ToolCallStarted(1, "toolu_2", "g"),
        ToolCallDelta(1, '{"b": 2}'),
        *END,
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(stream(events, legacy_calls=True))]
    written = [delta["function_call"]["arguments"] for delta in deltas if "function_call" in delta]

    assert whole(events, legacy_calls=True)["choices"][0]["message"]["function_call"] == {
        "name": "f",
        "arguments": "{}",
    }
    assert written == ["", "{}"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [(FinishReason.STOP, "stop"), (FinishReason.LENGTH, "length"), (FinishReason.CONTENT_FILTER,) * 2],
)
def test_other_ends_keep_their_names(reason: FinishReason, word: str) -> None:
    """Only the end by a call has another name."""
    events = [TextDelta("x"), UsageReport(Usage()), Finished(reason)]

    assert whole(events, legacy_calls=True)["choices"][0]["finish_reason"] == word
    assert chunks(stream(events, legacy_calls=True))[-1]["choices"][0]["finish_reason"] == word


def test_who_offers_functions_alone_gets_one_call_in_their_form() -> None:
    """The model is asked for one call at most; where there are tools, everything is as it is with tools."""
    tool = {"type": "function", "function": F}
    alone, both, tools = decoded(functions=[F]), decoded(functions=[{"name": "g"}], tools=[tool]), decoded(tools=[tool])

    assert [body.legacy_calls for body in (alone, both, tools, decoded())] == [True, False, False, False]
    assert [body.settings.tool_choice.parallel for body in (alone, both, tools)] == [False, True, True]
    assert decoded(functions=[F], parallel_tool_calls=True).settings.tool_choice == ToolChoice(parallel=False)
    assert decoded(functions=[F], function_call={"name": "f"}).settings.tool_choice == ToolChoice(
        ToolUse.ONE, "f", parallel=False
    )


def test_a_result_names_the_function() -> None:
    """What a function returned belongs to the call before, which has no id to name."""
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    _, answer, result = decoded(functions=[F], messages=messages).messages
    (call,) = answer.parts
    assert isinstance(call, ToolCall)

    assert (call.name, call.arguments) == ("f", "{}")
    assert result == Message(Role.USER, (ToolResult(call.call_id, (Text("1"),)),))


@pytest.mark.parametrize("content", ["", None])
def test_a_result_may_be_nothing(content: str | None) -> None:
    """OpenAI takes null; and where no call stands before it, it is the session that knows the call."""
    (result,) = decoded(messages=[{"role": "function", "name": "f", "content": content}]).messages

    assert result == Message(Role.USER, (ToolResult("f", by_name=True),))


def test_many_results_find_their_calls() -> None:
    """By name and in order, however many are open."""
    number = 10_000
    calls = [{"id": f"c{each}", "function": {"name": f"f{each % 3}", "arguments": "{}"}} for each in range(number)]
    results = [{"role": "function", "name": f"f{each % 3}", "content": str(each)} for each in range(number)]
    answer = {"role": "assistant", "content": None, "tool_calls": calls}
    messages = decoded(messages=[{"role": "user", "content": "x"}, answer, *results]).messages

    assert messages[2:] == tuple(
        Message(Role.USER, (ToolResult(f"c{each}", (Text(str(each)),)),)) for each in range(number)
    )


@pytest.mark.parametrize(
    ("functions", "param"),
    [
        ({"tools": ["f", "f"]}, "tools[1].function.name"),
        ({"functions": ["f", "f"]}, "functions[1].name"),
        ({"tools": ["f"], "functions": ["g", "f"]}, "functions[1].name"),
        ({"tools": ["f", "f"], "functions": ["g"]}, "tools[1].function.name"),
    ],
)
def test_a_name_that_comes_twice_is_named_where_it_stands(functions: dict[str, list[str]], param: str) -> None:
    """Also where tools and functions are offered together, the parameter is the one that has the second of them."""
    wrap = {
        "tools": lambda name: {"type": "function", "function": {"name": name}},
        "functions": lambda name: {"name": name},
    }
    with pytest.raises(InvalidValue) as raised:
        decoded(**{key: [wrap[key](name) for name in names] for key, names in functions.items()})

    assert raised.value.param == param
