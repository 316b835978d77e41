"""
Answers in a form that do not come as they should, on the real CLI: what is tried again, what is learned, who pays.
"""

from __future__ import annotations

import json
from typing import Any

import pytest_twisted

from claudeproxy.core.chat import AnswerFormat, ChatRequest, Message, Role, Text, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.events import FinishReason, ReasoningDelta, ToolCallStarted
from claudeproxy.core.tools import Tool
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import LiveBackend, Make, RecordingSink, chat

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
PLACE, ANY = AnswerFormat(SCHEMA, "place"), AnswerFormat()
ADD = Tool("add")
REMARK = Message(Role.SYSTEM, "Be brief.")


def user(text: str) -> Message:
    """A user's message."""
    return Message(Role.USER, text)


async def answered(
    live: LiveBackend,
    *messages: Message,
    format: AnswerFormat | None = PLACE,
    stop: tuple[str, ...] = (),
    **fields: Any,
) -> RecordingSink:
    """Serve a turn."""
    sink = RecordingSink()
    known = {"model": "haiku", "backend_model": "haiku", "tenant": "t"}
    settings = TurnSettings(format=format, stop=stop)
    await live.backend.open(ChatRequest(**{**known, "messages": messages, "settings": settings, **fields}), sink)
    return sink


def calls(sink: RecordingSink) -> list[ToolCallStarted]:
    """The calls that a client sees begin."""
    return [event for event in sink.events if isinstance(event, ToolCallStarted)]


@pytest_twisted.ensureDeferred
async def test_prose_says_nothing_of_other_features(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that ignored a schema still gets the system's messages in their places, from every tenant."""
    live = claude()
    await answered(live, user("Hi"), REMARK, user("[[stub text=Sure, x is 1]]"))
    await answered(live, user("Hi"), REMARK, user("Hello"), format=None, tenant="other")

    roles = [[message["role"] for message in each.body["messages"]] for each in stub_anthropic.requests]
    assert roles == [["user", "system", "user"]] * 3


@pytest_twisted.ensureDeferred
async def test_what_can_have_been_two_things_is_not_learned(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A 400 for one of two features leaves both to be tried by the next turn."""
    live = claude()
    await answered(live, user("Hi"), REMARK, user("[[stub refuse=system]]"))
    before = len(stub_anthropic.requests)
    await answered(live, user("Hi"), user("Hello"), tenant="other")

    assert "format" in stub_anthropic.requests[before].body["output_config"]


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_no_failed_form(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The model's words are why it refuses; nobody asks again, and the schema is as good as before."""
    sink = await answered(claude(), user("[[stub text=I cannot help with that. stop=refusal]]"))

    assert (sink.text, sink.finished.reason) == ("", FinishReason.CONTENT_FILTER)
    assert sink.finished.refusal == "I cannot help with that."
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_call_is_told_once_whatever_the_model_stops_for(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """What the client has seen begin is never begun again."""
    prompt = user('[[stub call=add {"a": 1} stop=stop_sequence]]')
    sink = await answered(claude(), prompt, tools=(ADD,))

    assert [(call.index, call.name) for call in calls(sink)] == [(0, "add")]
    assert sink.finished.reason is FinishReason.TOOL_CALLS
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_both_attempts_are_paid_for_and_thoughts_are_told_once(
    claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """The client sees one answer; its usage is what the account was charged."""
    sink = await answered(claude(), user("[[stub thinking=Hmm. text=Sure, x is 1]]"))
    usages = [request.usage for request in stub_anthropic.requests]

    assert "".join(event.text for event in sink.events if isinstance(event, ReasoningDelta)) == "Hmm."
    assert len(usages) == 2
    assert sink.usage.usage.output_tokens == sum(usage["output_tokens"] for usage in usages if usage)
    assert json.loads(sink.text) == {"x": 1}


@pytest_twisted.ensureDeferred
async def test_the_function_of_the_answer_is_none_that_was_called_before(
    claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """A conversation may have called one of that name, and offer it no more."""
    called = Message(Role.ASSISTANT, (ToolCall("c1", "answer", "{}"),))
    result = Message(Role.USER, (ToolResult("c1", (Text("2"),)),))
    said = Message(Role.ASSISTANT, "Two.")
    sink = await answered(claude(), user("Hi"), called, result, said, user("As an object"), format=ANY)

    assert json.loads(sink.text) == {}
    assert [tool["name"] for tool in stub_anthropic.requests[-1].body["tools"]] == ["answer", "answer_0"]


@pytest_twisted.ensureDeferred
async def test_an_object_that_the_client_cuts_off(claude: Make) -> None:
    """Its own stop sequence ends the answer as it ends every other."""
    sink = await answered(claude(), user('[[stub text={"x": 1, "y": 2}]]'), stop=(', "y"',))

    assert (sink.text, sink.finished.reason) == ('{"x": 1', FinishReason.STOP)


@pytest_twisted.ensureDeferred
async def test_an_answer_beside_calls_is_left_for_later(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The calls come first; the client gets no text after them, and the turn goes on in the same process."""
    live = claude()
    prompt = user('[[stub call=add {"a": 1} call=answer {"x": 1}]]')
    first = await answered(live, prompt, format=ANY, tools=(ADD,))
    (call,) = calls(first)
    history = Message(Role.ASSISTANT, (ToolCall(call.call_id, "add", '{"a": 1}'),))
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),))
    await answered(live, prompt, history, result, format=ANY, tools=(ADD,))

    assert (first.text, first.finished.reason) == ("", FinishReason.TOOL_CALLS)
    kinds = [[block["type"] for block in each["content"]] for each in stub_anthropic.requests[-1].body["messages"]]
    assert kinds == [["text"], ["tool_use"], ["tool_result"]]
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_a_call_of_an_unknown_function_asks_nobody_again(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The client gets the model's mistake as it was; the CLI does not go on about it."""
    live = claude()
    sink = RecordingSink()
    await live.backend.open(chat("[[stub call=other {}]]", tools=(ADD,)), sink)
    await live.all_ended()

    assert [call.name for call in calls(sink)] == ["other"]
    assert (sink.text, sink.finished.reason) == ("", FinishReason.TOOL_CALLS)
