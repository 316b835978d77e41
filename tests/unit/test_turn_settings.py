"""
What one turn's settings make of the request to the API.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.backends.claude.requests.sampling import sampled
from claudeproxy.backends.claude.requests.settings import NEUTRAL, turn_settings
from claudeproxy.backends.claude.requests.telling import Telling
from claudeproxy.core.chat import (
    AnswerFormat,
    Effort,
    Message,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    TurnSettings,
)
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse

ADD, FORM = Tool("add"), Tool("answer")
SCHEMA = {"type": "object"}
ASKED = Message(Role.USER, "How much?")
CALL = ToolCall("c1", "add", "{}")
RESULT = Message(Role.USER, (ToolResult("c1", (Text("2"),)),))


def body(settings: TurnSettings | None = None, *args: Any, **fields: Any) -> dict[str, Any]:
    """What is put into the request."""
    made: Any = turn_settings("sonnet", Telling.of(settings or TurnSettings(), *args, **fields))
    return dict(json.loads(made["env"]["CLAUDE_CODE_EXTRA_BODY"]))


def thinks(settings: TurnSettings, *args: Any, **fields: Any) -> bool:
    """Whether the model may."""
    made: Any = turn_settings("sonnet", Telling.of(settings, *args, **fields))
    return not made["env"]["CLAUDE_CODE_DISABLE_THINKING"]


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (ToolChoice(), (), {"type": "tool", "name": "answer", "disable_parallel_tool_use": True}),
        (ToolChoice(), (ADD,), {"type": "any"}),
        (ToolChoice(parallel=False), (ADD,), {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolUse.NONE), (ADD,), {"type": "tool", "name": "answer", "disable_parallel_tool_use": True}),
    ],
)
def test_an_answer_by_a_call_is_forced(choice: ToolChoice, tools: tuple[Tool, ...], expected: dict[str, Any]) -> None:
    """The model must call it, or one of the client's functions where it is free to call those."""
    settings = TurnSettings(tool_choice=choice, format=AnswerFormat())
    made = body(settings, tools, form=FORM)

    assert made["tool_choice"] == expected
    assert [tool["name"] for tool in made["tools"]] == [*(tool.name for tool in tools), "answer"]
    assert not thinks(settings, tools, form=FORM)


def test_only_the_allowed_functions_are_offered() -> None:
    """For one turn, whatever else the conversation has."""
    choice = ToolChoice(ToolUse.REQUIRED, allowed=frozenset({"add"}))
    made = body(TurnSettings(tool_choice=choice), (Tool("sub"), ADD))

    assert [tool["name"] for tool in made["tools"]] == ["add"]
    assert made["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize("settings", [TurnSettings(), TurnSettings(tool_choice=ToolChoice(ToolUse.ONE, "add"))])
def test_the_apis_own_way(settings: TurnSettings) -> None:
    """The schema goes beside the CLI's own effort; where a function must be called there is no text to have a form."""
    schema = AnswerFormat(SCHEMA)
    made = body(TurnSettings(format=schema, tool_choice=settings.tool_choice, effort=Effort.LOW), (ADD,))

    format = None if settings.tool_choice.forced else {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert made.get("output_config") == format


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TurnSettings(), True),
        (TurnSettings(effort=Effort.HIGH), True),
        (TurnSettings(effort=Effort.NONE), False),
        (TurnSettings(max_tokens=1024), False),
        (TurnSettings(max_tokens=1025), True),
        (TurnSettings(temperature=0.5), False),
        (TurnSettings(top_p=0.5), False),
        (TurnSettings(tool_choice=ToolChoice(ToolUse.REQUIRED)), False),
        (TurnSettings(tool_choice=ToolChoice(ToolUse.NONE)), True),
    ],
)
def test_when_the_model_may_think(settings: TurnSettings, expected: bool) -> None:
    """Not where the API would refuse the request for it."""
    assert thinks(settings, (ADD,)) is expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ASKED], True),
        ([ASKED, Message(Role.ASSISTANT, "One"), ASKED], True),
        ([ASKED, Message(Role.ASSISTANT, "It is")], False),
        ([ASKED, Message(Role.ASSISTANT, (CALL,)), RESULT], False),
        ([ASKED, Message(Role.ASSISTANT, (Thinking("Hm", "sig"), CALL)), RESULT], True),
        ([ASKED, Message(Role.ASSISTANT, (CALL,)), RESULT, ASKED], False),
        ([ASKED, Message(Role.ASSISTANT, (CALL,)), RESULT, Message(Role.ASSISTANT, "Two"), ASKED], True),
        ([RESULT], True),
    ],
)
def test_when_the_model_may_think_on(messages: list[Message], expected: bool) -> None:
    """With results of calls only if it gets its thoughts back, and never once the answer has begun."""
    assert thinks(TurnSettings(), (ADD,), messages) is expected


def test_thoughts_are_told_only_to_a_model_that_thinks() -> None:
    """They are where they were, before the calls; or nowhere."""
    messages = [ASKED, Message(Role.ASSISTANT, (Thinking("Hm", "sig"), CALL)), RESULT]
    kinds = [block["type"] for block in body(None, (ADD,), messages)["messages"][1]["content"]]
    without = body(TurnSettings(effort=Effort.NONE), (ADD,), messages)["messages"][1]["content"]

    assert kinds == ["thinking", "tool_use"]
    assert [block["type"] for block in without] == ["tool_use"]


def test_ids_of_other_models_calls_are_made_fit() -> None:
    """Call and result stay together, and two ids stay two."""
    strange = [ToolCall("functions.add:0", "add", "{}"), ToolCall("functions.add:1", "add", "{}")]
    results = Message(Role.USER, [ToolResult(call.call_id, (Text("2"),)) for call in strange])
    _, called, returned = body(None, (ADD,), [ASKED, Message(Role.ASSISTANT, strange), results])["messages"]
    ids = [block["id"] for block in called["content"]]

    assert ids == [block["tool_use_id"] for block in returned["content"]]
    assert len(set(ids)) == 2
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", each) for each in ids)


def test_the_users_last_block_is_marked_for_the_cache() -> None:
    """Also where the system or the assistant has the last word."""
    for last in (Message(Role.SYSTEM, "Be brief."), Message(Role.ASSISTANT, "It is")):
        first, second = body(None, (), [ASKED, last])["messages"]
        assert "cache_control" in first["content"][-1]
        assert "cache_control" not in second["content"][-1]


@pytest.mark.parametrize("after", [(), (Message(Role.SYSTEM, "Be brief."),), (Message(Role.ASSISTANT, "It is"),)])
def test_what_the_request_before_had_is_marked_as_well(after: tuple[Message, ...]) -> None:
    """The API looks no further back than 20 blocks, which are ten calls and their results."""
    calls = [ToolCall(f"c{number}", "add", "{}") for number in range(30)]
    results = [Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),)) for call in calls]
    conversation = [ASKED, Message(Role.ASSISTANT, "What?"), ASKED, Message(Role.ASSISTANT, calls), *results, *after]
    told = body(None, (ADD,), conversation)["messages"]
    marked = [
        (index, place)
        for index, message in enumerate(told)
        for place, block in enumerate(message["content"])
        if "cache_control" in block
    ]

    assert marked == [(2, 0), (4, 29)]


shares = st.none() | st.floats(0, 1)


@given(
    st.builds(TurnSettings, temperature=st.none() | st.floats(0, 2), top_p=shares, max_tokens=st.just(5)), st.booleans()
)
def test_every_sampling_parameter_is_sent_or_named(settings: TurnSettings, honour: bool) -> None:
    """What asks for something has its effect or is named, never both, and the API gets one of the two at most."""
    kept, ignored = sampled(settings, honour=honour)
    sent = {name for name in ("temperature", "top_p") if getattr(kept, name) is not None}

    assert kept.max_tokens == 5
    assert len(sent) <= int(honour)
    assert not sent & set(ignored)
    for name in ("temperature", "top_p"):
        value = getattr(settings, name)
        assert value is None or name in sent or name in ignored or (honour and value >= 1)


def test_a_process_starts_with_what_a_plain_turn_wants() -> None:
    """So that the first plain turn need not change a setting."""
    assert turn_settings("sonnet", Telling.of(TurnSettings())) == NEUTRAL
