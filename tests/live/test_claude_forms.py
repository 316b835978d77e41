"""
Answers in a form, on the real CLI: the API's own way, and the way by a call.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted

from claudeproxy.core.chat import AnswerFormat, TurnSettings
from claudeproxy.core.events import FinishReason, TextDelta, ToolCallStarted
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.errors import AnswerNotJSON, RequestRefused
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import LiveBackend, Make, RecordingSink, chat, said

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
PLACE = AnswerFormat(SCHEMA, "place", "Where it is.")
ANY = AnswerFormat()
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "number"}}})


async def answered(
    live: LiveBackend, *texts: str, format: AnswerFormat = PLACE, model: str = "haiku", **fields: Any
) -> RecordingSink:
    """Serve a turn whose answer is to have a form, by a model that can be forced to call."""
    sink = RecordingSink()
    settings = TurnSettings(format=format, tool_choice=fields.pop("tool_choice", ToolChoice()))
    await live.backend.open(chat(*texts, model=model, settings=settings, **fields), sink)
    return sink


def asked(stub: StubAnthropic) -> list[Any]:
    """How each request asked for the form: the API's way, and what the model must call."""
    return [
        ((request.body.get("output_config") or {}).get("format"), (request.body.get("tool_choice") or {}).get("name"))
        for request in stub.requests
    ]


@pytest_twisted.ensureDeferred
async def test_the_apis_own_way_comes_first(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The schema is sent as it is, beside the effort; the object comes in pieces, and the process stays."""
    live = claude()
    first = await answered(live, '[[stub text={"x": 1} deltas=4]]')
    again = await answered(live, '[[stub text={"x": 1} deltas=4]]', first.text, "And now?")

    assert (json.loads(first.text), first.finished.reason) == ({"x": 1}, FinishReason.STOP)
    assert len([event for event in first.events if isinstance(event, TextDelta)]) == 4
    assert asked(stub_anthropic) == [({"type": "json_schema", "schema": SCHEMA}, None)] * 2
    assert [request.body["output_config"]["effort"] for request in stub_anthropic.requests] == ["medium", "medium"]
    assert json.loads(again.text) == {"x": 1}
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_a_form_ends_with_its_turn(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The next turn of the same conversation is free again."""
    live = claude()
    await answered(live, '[[stub text={"x": 1}]]')
    sink = RecordingSink()
    await live.backend.open(chat('[[stub text={"x": 1}]]', '{"x": 1}', "Prose, please"), sink)

    assert "canned answer" in sink.text
    assert "format" not in stub_anthropic.requests[-1].body["output_config"]


@pytest_twisted.ensureDeferred
async def test_a_model_without_the_way_answers_by_a_call(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """What the API refuses is asked for by a call, which the client sees as text; the next turn goes there at once."""
    live = claude()
    prompt = '[[stub refuse=format text={"x": 22} deltas=3]]'
    first = await answered(live, prompt)
    refused = len(stub_anthropic.requests)
    again = await answered(live, prompt, first.text, prompt)

    assert (json.loads(first.text), first.finished.reason) == ({"x": 22}, FinishReason.STOP)
    assert not [event for event in first.events if isinstance(event, ToolCallStarted)]
    last, *others = reversed(stub_anthropic.requests[:refused])
    assert last.body["tools"][0] | {"description": ""} == {"name": "place", "input_schema": SCHEMA, "description": ""}
    assert "Where it is." in last.body["tools"][0]["description"]
    assert last.body["tool_choice"] == {"type": "tool", "name": "place", "disable_parallel_tool_use": True}
    assert "thinking" not in last.body
    assert others
    assert len(stub_anthropic.requests) == refused + 1
    assert again.text == first.text
    assert stub_anthropic.requests[-1].body["messages"][1]["content"] == [{"type": "text", "text": first.text}]


@pytest_twisted.ensureDeferred
async def test_another_schema_has_its_own_chance(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """One schema that the API refuses says nothing of the next."""
    live = claude()
    await answered(live, "[[stub refuse=format]]")
    before = len(stub_anthropic.requests)
    other = AnswerFormat({**SCHEMA, "title": "Another"}, "place")
    sink = await answered(live, "Hello", format=other)

    assert asked(stub_anthropic)[before:] == [({"type": "json_schema", "schema": other.schema}, None)]
    assert json.loads(sink.text) == {"x": 1}


@pytest_twisted.ensureDeferred
async def test_any_object_is_asked_for_by_a_call(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The API's own way has no free objects."""
    sink = await answered(claude(), '[[stub text={"deep": {"er": [1, 2]}}]]', format=ANY)

    assert json.loads(sink.text) == {"deep": {"er": [1, 2]}}
    assert asked(stub_anthropic) == [(None, "answer")]


@pytest_twisted.ensureDeferred
async def test_prose_is_not_passed_on(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A server that takes the schema and does not keep to it is asked another way; the client never sees the prose."""
    sink = await answered(claude(), "[[stub text=Sure, here it is: x is 1]]")

    assert "Sure" not in sink.text
    assert json.loads(sink.text) == {"x": 1}
    assert [name for _, name in asked(stub_anthropic)] == [None, "place"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("format", "way"), [(PLACE, "text="), (ANY, "call=answer ")])
async def test_half_an_object_is_no_answer(format: AnswerFormat, way: str, claude: Make) -> None:
    """What began well and is no object in the end is an error, not a stop."""
    sink = RecordingSink()
    with pytest.raises(AnswerNotJSON):
        await claude().backend.open(chat(f'[[stub {way}{{"x": 1]]', settings=TurnSettings(format=format)), sink)

    assert not sink.events or not hasattr(sink.events[-1], "reason")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("format", [PLACE, ANY])
async def test_an_answer_that_is_cut_off_says_so(format: AnswerFormat, claude: Make) -> None:
    """Half an object with the reason why it is half is what OpenAI sends, too."""
    sink = RecordingSink()
    settings = TurnSettings(format=format, max_tokens=2)
    text = '{"x": 1, "y": 2, "z": 3}'
    directive = f"[[stub text={text}]]" if format is PLACE else f"[[stub call=answer {text} stop=max_tokens]]"
    await claude().backend.open(chat(directive, settings=settings), sink)

    assert sink.finished.reason is FinishReason.LENGTH


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("format", [PLACE, ANY])
async def test_the_clients_functions_can_be_called_first(
    format: AnswerFormat, claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """With functions beside it the model is free to call one; its last answer has the form."""
    live = claude()
    prompt = '[[stub call=add {"a": 1}]]'
    called = await answered(live, prompt, format=format, tools=(ADD,))
    (call,) = [event for event in called.events if isinstance(event, ToolCallStarted)]

    assert (call.name, called.text, called.finished.reason) == ("add", "", FinishReason.TOOL_CALLS)
    assert live.backend.health().parked == 1
    first = stub_anthropic.requests[0].body
    assert [tool["name"] for tool in first["tools"]] == (["add"] if format is PLACE else ["add", "answer"])
    assert first["tool_choice"]["type"] == ("auto" if format is PLACE else "any")


@pytest_twisted.ensureDeferred
async def test_a_function_that_must_be_called_needs_no_form(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """There is no text in such an answer, so none is asked for."""
    choice = ToolChoice(ToolUse.ONE, "add")
    sink = await answered(claude(), '[[stub call=add {"a": 1}]]', format=ANY, tools=(ADD,), tool_choice=choice)

    assert sink.finished.reason is FinishReason.TOOL_CALLS
    assert [tool["name"] for tool in stub_anthropic.requests[0].body["tools"]] == ["add"]


@pytest_twisted.ensureDeferred
async def test_a_name_that_a_function_has_is_no_trouble(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The call that is the answer is told from the client's own function of that name."""
    tools = (Tool("answer"),)
    sink = await answered(claude(), '[[stub call=answer_0 {"y": 5}]]', format=ANY, tools=tools)

    assert json.loads(sink.text) == {"y": 5}
    assert [tool["name"] for tool in stub_anthropic.requests[0].body["tools"]] == ["answer", "answer_0"]


@pytest_twisted.ensureDeferred
async def test_an_object_without_anything_in_it(claude: Make) -> None:
    """A call without arguments is an empty object, not an empty text."""
    sink = await answered(claude(), "[[stub call=answer]]", format=ANY)

    assert sink.text == "{}"


@pytest_twisted.ensureDeferred
async def test_an_answer_by_a_call_keeps_the_process(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The CLI waits behind such an answer and asks nobody; the next turn, free or not, goes on in it."""
    live = claude()
    first = await answered(live, '[[stub text={"z": 9}]]', format=ANY)
    second = await answered(live, '[[stub text={"z": 9}]]', first.text, '[[stub text={"y": 8}]]', format=ANY)
    free = RecordingSink()
    texts = ('[[stub text={"z": 9}]]', first.text, '[[stub text={"y": 8}]]', second.text, "In words?")
    await live.backend.open(chat(*texts, model="haiku"), free)

    assert json.loads(second.text) == {"y": 8}
    assert "canned answer" in free.text
    assert (live.started, len(stub_anthropic.requests)) == (1, 3)
    assert said(stub_anthropic.requests[2]) == list(zip(["user", "assistant"] * 3, texts, strict=False))
    assert stub_anthropic.requests[2].body["tools"] == []


@pytest_twisted.ensureDeferred
async def test_what_the_api_refuses_for_another_reason_is_told(claude: Make) -> None:
    """The client gets the API's words on its own request."""
    with pytest.raises(RequestRefused, match="too many cooks"):
        await answered(claude(), "[[stub status=400 message=too many cooks]]")


@pytest_twisted.ensureDeferred
async def test_the_object_is_what_the_history_holds(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """After an answer by a call the conversation goes on with the text that the client saw."""
    live = claude()
    first = await answered(live, '[[stub text={"z": 9}]]', format=ANY)
    await live.backend.open(chat('[[stub text={"z": 9}]]', first.text, "Thanks"), RecordingSink())

    assert said(stub_anthropic.requests[-1])[1:] == [("assistant", '{"z": 9}'), ("user", "Thanks")]
