"""
Functions on the real CLI whose schemas the API does not take as the client wrote them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest_twisted

from claudeproxy.backends.claude.answers.forms import form_tool
from claudeproxy.core.chat import Message, ToolCall
from claudeproxy.core.events import Finished, FinishReason, ToolCallDelta
from claudeproxy.core.tools import Tool
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from claudeproxy.wire.openai_chat import ChatBody, decode_request
from tests.live.claude import Make
from tests.live.test_claude_tools import answered, calls, result, returned, sent, user

ODATA = {
    "type": "object",
    "properties": {
        "$filter": {"type": "string"},
        "page": {"type": "object", "properties": {"page[size]": {"exclusiveMinimum": True, "minimum": 0}}},
        "größe": {"items": [{"type": "string"}]},
    },
    "required": ["$filter"],
}
CHOICE = {"anyOf": [{"required": ["$id"]}, {"required": ["name"]}], "properties": {"$id": {"type": "string"}}}


def decoded(**parameters: Any) -> ChatBody:
    """A request's parameters as they are understood."""
    message = {"role": "user", "content": "x"}
    return decode_request(json.dumps({"model": "sonnet", "messages": [message], **parameters}).encode())


def function(name: str, schema: dict[str, Any]) -> Tool:
    """A client's function."""
    described = {"type": "function", "function": {"name": name, "parameters": schema}}
    return decoded(tools=[described]).tools[0]


def call(name: str, value: Any, thinking: str = "") -> str:
    """What has the model call a function."""
    return f"[[stub call={name} {json.dumps(value)}]]"


def told(tool: Tool, name: str) -> str:
    """What the API is told for a name."""
    return next(told for told, known in tool.renamed.items() if known == name)


def inputs(recorded: RecordedRequest) -> list[Any]:
    """What the API is told that functions were called with."""
    return [block["input"] for message in sent(recorded) for block in message["content"] if block["type"] == "tool_use"]


@pytest_twisted.ensureDeferred
async def test_properties_have_the_clients_names(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Streamed, in the session and in what another process is told, while the model reads and writes its own."""
    live = claude()
    tool = function("list_items", ODATA)
    model = {
        told(tool, "$filter"): "price gt 5",
        "page": {told(tool, "page[size]"): 10},
        told(tool, "größe"): ["XL", told(tool, "$filter")],
    }
    client = {"$filter": "price gt 5", "page": {"page[size]": 10}, "größe": ["XL", told(tool, "$filter")]}
    asked = user(call("list_items", model))
    sink, first = await answered(live, asked, tools=(tool,))
    (made,) = calls(first)

    assert json.loads(made.arguments) == client
    assert len([event for event in sink.events if isinstance(event, ToolCallDelta)]) == 2
    assert sink.events[-1] == Finished(FinishReason.TOOL_CALLS)

    # A client may write the arguments anew; the parked process is known all the same.
    again = Message(first.role, (ToolCall(made.call_id, made.name, json.dumps(client, indent=1)),))
    _, second = await answered(live, asked, again, result(made), tools=(tool,))
    assert live.started == 1
    assert inputs(stub_anthropic.requests[-1]) == [model]

    # Where something else was said before, a fresh process is told the conversation.
    await answered(live, user("Hi."), second, asked, again, result(made), second, user("Thanks."), tools=(tool,))
    assert live.started == 2
    assert inputs(stub_anthropic.requests[-1]) == [model]
    assert len(stub_anthropic.requests) == 3
    assert all(each.status == 200 for each in stub_anthropic.requests)


@pytest_twisted.ensureDeferred
async def test_a_choice_at_the_top(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """All arguments are below one property for the model, and for the client where its schema has them."""
    live = claude()
    tool, plain = function("find", CHOICE), function("plain", {"properties": {"$id": {}}})
    model = {tool.wrapper: {told(tool, "$id"): "7"}}
    asked = user(f"{call('find', model)[:-2]} call=plain {json.dumps({told(plain, '$id'): 8})}]]")
    _, first = await answered(live, asked, tools=(tool, plain))
    found, other = calls(first)

    assert [found.arguments, other.arguments] == ['{"$id": "7"}', '{"$id": 8}']
    await answered(live, asked, first, result(found), result(other), tools=(tool, plain))
    assert live.started == 1
    assert inputs(stub_anthropic.requests[-1]) == [model, {told(plain, "$id"): 8}]
    assert len(stub_anthropic.requests) == 2


@pytest_twisted.ensureDeferred
async def test_an_answer_by_a_call_has_the_clients_names(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where the API does not take the schema of an answer, the model is given it as a function's."""
    live = claude()
    format = {"type": "json_schema", "json_schema": {"name": "place", "schema": CHOICE}}
    settings = decoded(response_format=format).settings
    assert settings.format is not None
    tool = form_tool(settings.format, ())
    model = {tool.wrapper: {told(tool, "$id"): "7"}}
    asked = user(f"[[stub refuse=format text={json.dumps(model)} deltas=3]]")
    sink, first = await answered(live, asked, tools=(), settings=settings)

    assert (sink.text, sink.finished.reason) == ('{"$id": "7"}', FinishReason.STOP)
    assert stub_anthropic.requests[-1].body["tools"][0]["input_schema"] == tool.schema

    # The next turn goes that way at once, and is told what the client has.
    asked_before, started = len(stub_anthropic.requests), live.started
    again, _ = await answered(live, asked, first, asked, tools=(), settings=settings)
    assert again.text == sink.text
    assert (len(stub_anthropic.requests), live.started) == (asked_before + 1, started)
    assert sent(stub_anthropic.requests[-1])[1]["content"] == [{"type": "text", "text": '{"$id": "7"}'}]


@pytest_twisted.ensureDeferred
async def test_many_calls_stay_within_the_caches_sight(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A conversation that is told whole has a mark before the calls, too; there are never more than four."""
    live = claude()
    tool = function("f", {"properties": {"n": {}}})
    wanted = [["f", json.dumps({"n": n})] for n in range(12)]
    asked = user(f"[[stub json={b64encode(json.dumps({'calls': wanted}).encode()).decode()}]]")
    _, first = await answered(live, asked, tools=(tool,))
    made = calls(first)
    # The CLI has words of its own for an empty result, so the process is told all of it.
    results = [result(each, "" if each is made[0] else "x") for each in made]
    await answered(live, asked, first, *results, tools=(tool,))
    body = stub_anthropic.requests[-1].body
    marked = [
        (message["role"], place)
        for message in body["messages"]
        for place, block in enumerate(message["content"])
        if isinstance(block, dict) and "cache_control" in block
    ]

    assert len(made) == 12
    assert marked == [("user", 0), ("user", 11)]
    assert sent(stub_anthropic.requests[-1])[-1]["content"][1] == returned(made[1], "x")
    marks = json.dumps(body).count('"cache_control"')
    assert 2 < marks <= 4
