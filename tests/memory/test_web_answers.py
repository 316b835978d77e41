"""
What answers of the chat backend hold beside the text: reasoning, cost, calls in the older form.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from claudeproxy.config import ClaudeConfig
from claudeproxy.core.chat import Message, Role
from claudeproxy.core.events import (
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from tests.memory.test_web_chat import events
from tests.memory.wire import House, Wire, chat_body

TAGGED = "<think>\nhm\n</think>\n\n42"


def asked(house: House, **parameters: Any) -> Wire:
    """Send a chat request and have its turn granted."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(**parameters))
    house.backend.turn.start()
    return wire


def thought(house: House, cost: float | None = None) -> None:
    """The backend thinks and answers."""
    turn = house.backend.turn
    answer: list[StreamEvent] = [ReasoningDelta("hm"), TextDelta("42")]
    usage = UsageReport(Usage(input_tokens=9, output_tokens=2, cost_usd=cost))
    for event in (*answer, usage, Finished(FinishReason.STOP)):
        turn.event(event)
    turn.sink.flow_ended()
    turn.done.callback(None)


def shown(wire: Wire, stream: bool) -> tuple[str, str]:
    """An answer's text, and what was thought beside it."""
    answer = wire.answer()
    if not stream:
        message = answer.json["choices"][0]["message"]
        return message["content"], message.get("reasoning_content", "")
    deltas = [choice["delta"] for chunk in events(answer.body)[:-1] for choice in chunk["choices"]]
    content = "".join(delta.get("content", "") for delta in deltas)
    return content, "".join(delta.get("reasoning_content", "") for delta in deltas)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reasoning", "expected"), [("content", ("42", "hm")), ("think-tags", (TAGGED, "")), ("off", ("42", ""))]
)
def test_where_the_reasoning_is(stream: bool, reasoning: str, expected: tuple[str, str]) -> None:
    """The operator's choice holds for streams and whole answers, and with none wanted the model is asked for none."""
    house = House(claude=ClaudeConfig(reasoning=reasoning))
    wire = asked(house, stream=stream)
    thought(house)

    assert house.backend.turn.request.settings.show_reasoning == (reasoning != "off")
    assert expected == shown(wire, stream)


def test_another_choice_holds_from_the_next_answer_on(house: House) -> None:
    """What has begun ends as it began."""
    first = asked(house, stream=True)
    house.app.chat.use("off")
    thought(house)
    second = asked(house, stream=True)
    thought(house)

    assert ("42", "hm") == shown(first, stream=True)
    assert ("42", "") == shown(second, stream=True)


@pytest.mark.parametrize(("reasoning", "told"), [("content", TAGGED), ("think-tags", "42"), ("off", TAGGED)])
def test_the_model_gets_its_own_text_back(house: House, reasoning: str, told: str) -> None:
    """Where answers have tags, histories come back with them, and the model does not take them for its own."""
    house.app.chat.use(reasoning)
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": TAGGED},
        {"role": "user", "content": TAGGED},
    ]
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", json.dumps({"model": "sonnet", "messages": messages}).encode())

    assert (
        Message(Role.USER, "x"),
        Message(Role.ASSISTANT, told),
        Message(Role.USER, TAGGED),
    ) == house.backend.turn.request.messages
    wire.leave()


@pytest.mark.parametrize("stream", [False, True])
def test_json_has_no_tags_in_it(house: House, stream: bool) -> None:
    """Where the text has to be JSON, what was thought is beside it, as without tags."""
    house.app.chat.use("think-tags")
    wire = asked(house, stream=stream, response_format={"type": "json_object"})
    thought(house)

    assert ("42", "hm") == shown(wire, stream)


def test_the_cost_of_a_whole_answer_is_in_its_head(house: House) -> None:
    """In USD, digit by digit; and in its usage."""
    wire = asked(house)
    thought(house, cost=0.00001234)

    answer = wire.answer()
    assert "0.00001234" == answer.headers["x-claude-cost-usd"]
    assert 0.00001234 == answer.json["usage"]["cost"] == house.access["cost_usd"]


def test_the_cost_of_a_stream_is_in_its_usage(house: House) -> None:
    """The head is sent too early to know it."""
    wire = asked(house, stream=True, stream_options={"include_usage": True})
    thought(house, cost=0.01)

    answer = wire.answer()
    assert "x-claude-cost-usd" not in answer.headers
    assert 0.01 == events(answer.body)[-2]["usage"]["cost"] == house.access["cost_usd"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_cost_that_is_not_known_is_nowhere(house: House, stream: bool) -> None:
    """No null, no nought: it is left out."""
    wire = asked(house, stream=stream, stream_options={"include_usage": True})
    thought(house)

    answer = wire.answer()
    usage = events(answer.body)[-2]["usage"] if stream else answer.json["usage"]
    assert 11 == usage["total_tokens"]
    assert "cost" not in usage
    assert "x-claude-cost-usd" not in answer.headers
    assert "cost_usd" not in house.access


@pytest.mark.parametrize("stream", [False, True])
def test_who_knows_function_call_only_gets_one(house: House, stream: bool) -> None:
    """A request with functions in the older form is answered in it."""
    wire = asked(house, stream=stream, functions=[{"name": "f"}])
    turn = house.backend.turn
    for event in (ToolCallStarted(0, "toolu_1", "f"), ToolCallDelta(0, '{"a": 1}')):
        turn.event(event)
    turn.event(UsageReport(Usage()))
    turn.event(Finished(FinishReason.TOOL_CALLS))
    turn.sink.flow_ended()
    turn.done.callback(None)

    assert not turn.request.settings.tool_choice.parallel
    answer = wire.answer()
    if stream:
        *chunks, _ = events(answer.body)
        assert {"function_call": {"name": "f", "arguments": ""}} == chunks[1]["choices"][0]["delta"]
        assert "function_call" == chunks[-1]["choices"][0]["finish_reason"]
    else:
        choice = answer.json["choices"][0]
        assert {"name": "f", "arguments": '{"a": 1}'} == choice["message"]["function_call"]
        assert "function_call" == choice["finish_reason"]
