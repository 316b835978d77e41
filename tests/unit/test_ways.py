"""
The ways to run a turn: which function an answer may be a call of, and which the model knows beside it.
"""

from __future__ import annotations

import pytest

from claudeproxy.backends.claude.requests.features import Feature
from claudeproxy.backends.claude.requests.ways import Way
from claudeproxy.core.chat import AnswerFormat, Message, Role, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse

ADD = Tool("add")
ASKED = Message(Role.USER, "Add")
CALLED = (Message(Role.ASSISTANT, (ToolCall("c", "my.answer", "{}"),)), Message(Role.USER, (ToolResult("c"),)))
OBJECT = TurnSettings(format=AnswerFormat(name="my_answer"))


def test_the_answers_function_has_a_name_of_its_own() -> None:
    """No function that the conversation has called has it, by the name that the API is told."""
    way = Way.of(OBJECT, (), (ASKED, *CALLED), frozenset())
    offered = [tool.name for tool in way.telling((ASKED, *CALLED)).functions]

    assert way.tool is not None and way.tool.name != "my_answer"
    assert offered == ["my_answer", way.tool.name]


@pytest.mark.parametrize("tools", [(), (ADD,)])
def test_a_model_that_must_not_call_is_offered_nothing(tools: tuple[Tool, ...]) -> None:
    """Where it cannot be forced to answer by a call, it could make any other."""
    settings = TurnSettings(format=AnswerFormat(), tool_choice=ToolChoice(ToolUse.NONE if tools else ToolUse.AUTO))
    way = Way.of(settings, tools, (ASKED, *CALLED), frozenset({Feature.FORCED}))
    telling = way.telling((ASKED, *CALLED))

    assert [tool.name for tool in telling.functions] == ["answer"]
    assert telling.choice.use is ToolUse.AUTO


def test_a_model_that_may_call_is_offered_both() -> None:
    """The client's functions, and the one whose call is the answer; it has to call one of them if it can be forced."""
    settings = TurnSettings(format=AnswerFormat())
    for refused, use in (frozenset(), ToolUse.REQUIRED), (frozenset({Feature.FORCED}), ToolUse.AUTO):
        telling = Way.of(settings, (ADD,), (ASKED,), refused).telling((ASKED,))

        assert [tool.name for tool in telling.functions] == ["add", "answer"]
        assert telling.choice.use is use


def test_text_is_asked_for_as_text() -> None:
    """A schema needs no function, and neither does an answer without a form."""
    schema = TurnSettings(format=AnswerFormat({"type": "object"}))

    assert Way.of(schema, (), (ASKED,), frozenset()).tool is None
    assert Way.of(TurnSettings(), (), (ASKED,), frozenset()).form is None
    assert Way.of(schema, (), (ASKED,), frozenset({Feature.FORMAT})).tool is not None
