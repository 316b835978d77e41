"""
The client's functions on the real CLI: native calls, parked processes, and conversations that are told anew.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from claudeproxy.core.chat import ChatRequest, Message, Part, Role, Text, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.events import Finished, FinishReason, ToolCallDelta, ToolCallStarted
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.errors import InvalidValue
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from tests.live.claude import LiveBackend, Make, RecordingSink, until

WEATHER = Tool(
    "get_weather",
    "Tell the weather.\n\nArgs:\n    city: where.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "x-order": ["b", "a"]},
    strict=True,
)
BASH = Tool("Bash", "Not the CLI's own.", {"type": "object", "properties": {"command": {"type": "string"}}})
TOOLS = (WEATHER, BASH)
CALL = '[[stub call=get_weather {"city": "Bonn"}]]'


def user(*parts: str | Part) -> Message:
    """A user's message."""
    return Message(Role.USER, [Text(part) if isinstance(part, str) else part for part in parts])


def result(call: ToolCall, text: str = "rain") -> Message:
    """What a function returned."""
    return user(ToolResult(call.call_id, (Text(text),) if text else ()))


def request(*messages: Message, tools: tuple[Tool, ...] = TOOLS, **fields: Any) -> ChatRequest:
    """A turn with functions."""
    known = {"model": "sonnet", "backend_model": "sonnet", "tenant": "t", "settings": TurnSettings()}
    return ChatRequest(**{**known, "messages": messages, "tools": tools, **fields})


async def answered(live: LiveBackend, *messages: Message, **fields: Any) -> tuple[RecordingSink, Message]:
    """Serve a turn; return what came, and the answer as a client would send it back."""
    sink = RecordingSink()
    await live.backend.open(request(*messages, **fields), sink)
    parts: list[Part] = [Text(sink.text)] if sink.text else []
    for event in sink.events:
        if isinstance(event, ToolCallStarted):
            deltas = (each for each in sink.events if isinstance(each, ToolCallDelta) and each.index == event.index)
            arguments = "".join(each.arguments for each in deltas)
            parts.append(ToolCall(event.call_id, event.name, arguments or "{}"))
    return sink, Message(Role.ASSISTANT, parts)


def calls(message: Message) -> list[ToolCall]:
    """The calls of an answer."""
    return [part for part in message.parts if isinstance(part, ToolCall)]


def sent(recorded: RecordedRequest) -> list[dict[str, Any]]:
    """The messages that the API got, without the CLI's own notes and the marks for the cache."""
    return [
        {"role": message["role"], "content": [_plain(block) for block in _blocks(message["content"])]}
        for message in recorded.body["messages"]
        if message["role"] != "system"
    ]


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in block.items() if key != "cache_control"}
    if "content" in kept:
        kept["content"] = [_plain(each) for each in _blocks(kept["content"])]
    return kept


def use(call: ToolCall, value: dict[str, Any]) -> dict[str, Any]:
    """A call as the API has it."""
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": value}


def returned(call: ToolCall, *texts: str) -> dict[str, Any]:
    """A result as the API has it."""
    content = [{"type": "text", "text": text} for text in texts]
    return {"type": "tool_result", "tool_use_id": call.call_id, "content": content}


def text(said: str) -> dict[str, Any]:
    """A text as the API has it."""
    return {"type": "text", "text": said}


@pytest_twisted.ensureDeferred
async def test_the_model_calls_a_function(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The call comes as the model wrote it and ends the answer; the model was told of each function exactly."""
    live = claude()
    sink, answer = await answered(live, user(CALL))

    assert calls(answer) == [ToolCall(calls(answer)[0].call_id, "get_weather", '{"city": "Bonn"}')]
    assert sink.text == ""
    assert sink.events[-1] == Finished(FinishReason.TOOL_CALLS)
    assert sink.usage.usage.output_tokens == stub_anthropic.requests[-1].usage["output_tokens"]
    assert stub_anthropic.requests[0].body["tools"] == [
        {"name": "get_weather", "description": WEATHER.description, "input_schema": WEATHER.schema, "strict": True},
        {"name": "Bash", "description": BASH.description, "input_schema": BASH.schema},
    ]
    assert live.backend.health().parked == 1
    assert len(stub_anthropic.requests) == 1


@pytest_twisted.ensureDeferred
async def test_a_result_goes_on_in_the_parked_process(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """What the function returned reaches the model in the same process, and the conversation goes on there."""
    live = claude()
    _, first = await answered(live, user(CALL))
    (call,) = calls(first)
    _, second = await answered(live, user(CALL), first, result(call, "It rains."))
    _, third = await answered(live, user(CALL), first, result(call, "It rains."), second, user("Thanks."))

    assert live.started == 1
    assert live.backend.health().parked == 0
    assert sent(stub_anthropic.requests[-1]) == [
        {"role": "user", "content": [text(CALL)]},
        {"role": "assistant", "content": [use(call, {"city": "Bonn"})]},
        {"role": "user", "content": [returned(call, "It rains.")]},
        {"role": "assistant", "content": [text(second.parts[0].text)]},  # type: ignore[union-attr]
        {"role": "user", "content": [text("Thanks.")]},
    ]
    assert "It rains." in second.parts[0].text  # type: ignore[union-attr]
    assert third.parts
    assert all(each.body["tools"][0]["name"] == "get_weather" for each in stub_anthropic.requests)


@pytest_twisted.ensureDeferred
async def test_several_calls_in_one_answer(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Parallel calls come with their numbers, and their results may come in any order."""
    prompt = '[[stub text=Let me see. call=get_weather {"city": "Bonn"} call=Bash call=get_weather {"city": "Rom"}]]'
    live = claude()
    sink, first = await answered(live, user(prompt))
    one, two, three = calls(first)
    results = (result(three, "3"), result(one, "1"), result(two, "2"))
    await answered(live, user(prompt), first, *results)

    assert sink.text == "Let me see."
    assert [call.name for call in calls(first)] == ["get_weather", "Bash", "get_weather"]
    assert two.arguments == "{}"
    assert live.started == 1
    last = sent(stub_anthropic.requests[-1])
    assert last[1]["content"] == [
        text("Let me see."),
        use(one, {"city": "Bonn"}),
        use(two, {}),
        use(three, {"city": "Rom"}),
    ]
    assert last[2]["content"] == [returned(one, "1"), returned(two, "2"), returned(three, "3")]


@pytest_twisted.ensureDeferred
async def test_what_the_cli_would_change_reaches_the_model_as_it_is(
    claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """An empty result, a long one, and what the user says beside it, arrive unchanged, in the parked process too."""
    live = claude()
    _, first = await answered(live, user(CALL))
    (call,) = calls(first)
    await answered(live, user(CALL), first, result(call, ""), user("And in Rome?"))
    long = "x" * 450_000
    _, other = await answered(live, user("again " + CALL))
    (again,) = calls(other)
    await answered(live, user("again " + CALL), other, result(again, long))

    assert sent(stub_anthropic.requests[1])[2:] == [{"role": "user", "content": [returned(call), text("And in Rome?")]}]
    assert sent(stub_anthropic.requests[3])[2:] == [{"role": "user", "content": [returned(again, long)]}]
    assert live.started == 2


@pytest_twisted.ensureDeferred
async def test_a_conversation_without_its_process_is_told_anew(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """
    Calls and results that no process has seen reach the model exactly, the results in the order of their calls; so does
    what follows.
    """
    call, other = ToolCall("call_1", "get_weather", '{"city": "Bonn"}'), ToolCall("call_2", "gone_since", "{}")
    history = (
        user("How is it?"),
        Message(Role.ASSISTANT, (Text("I look."), call, other)),
        user(ToolResult("call_2", (Text("2"),))),
        result(call, "It rains."),
    )
    live = claude()
    _, answer = await answered(live, *history)
    await answered(live, *history, answer, user("Thanks."))

    told = [
        {"role": "user", "content": [text("How is it?")]},
        {"role": "assistant", "content": [text("I look."), use(call, {"city": "Bonn"}), use(other, {})]},
        {"role": "user", "content": [returned(call, "It rains."), returned(other, "2")]},
    ]
    assert sent(stub_anthropic.requests[0]) == told
    assert sent(stub_anthropic.requests[1]) == [
        *told,
        {"role": "assistant", "content": [text(answer.parts[0].text)]},  # type: ignore[union-attr]
        {"role": "user", "content": [text("Thanks.")]},
    ]
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_a_parked_process_that_is_gone_is_no_loss(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """When its place was needed, or it died, the conversation goes on in another one, and no model was asked behind
    the client's back."""
    live = claude()
    _, first = await answered(live, user(CALL))
    (call,) = calls(first)
    live.spawner.started[0].end()
    await live.ended_count(1)
    assert len(stub_anthropic.requests) == 1
    await answered(live, user(CALL), first, result(call))

    assert live.started == 2
    assert sent(stub_anthropic.requests[-1])[2] == {"role": "user", "content": [returned(call, "rain")]}


@pytest_twisted.ensureDeferred
async def test_arguments_that_are_no_object_reach_the_client(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The client sees what the model wrote and decides; the model is not asked again meanwhile."""
    live = claude()
    _, first = await answered(live, user('[[stub call=get_weather {"city": ]]'))
    (call,) = calls(first)
    await live.all_ended()
    await answered(live, user("x"), first, result(call, "That was no JSON."))

    assert call.arguments == '{"city":'
    assert sent(stub_anthropic.requests[-1])[2] == {"role": "user", "content": [returned(call, "That was no JSON.")]}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), {"type": "auto"}),
        (ToolChoice(ToolUse.NONE), {"type": "none"}),
        (ToolChoice(ToolUse.REQUIRED), {"type": "any"}),
        (ToolChoice(ToolUse.ONE, "Bash"), {"type": "tool", "name": "Bash"}),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
async def test_how_functions_are_used_is_the_turns_own(
    choice: ToolChoice, expected: dict[str, Any], claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """The model may, must or must not call, natively, and the next turn is free again."""
    live = claude()
    known = {"model": "haiku", "backend_model": "haiku"}
    _, answer = await answered(live, user("one"), settings=TurnSettings(tool_choice=choice), **known)
    returned = [result(call) for call in calls(answer)]
    await answered(live, user("one"), answer, *returned or [user("two")], **known)
    first, second = (each.body for each in stub_anthropic.requests)

    assert first["tool_choice"] == expected
    assert second["tool_choice"] == {"type": "auto"}
    assert ("thinking" in first) == (not choice.forced)
    assert "thinking" in second
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_as_many_functions_as_openai_allows(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """128 of them, each with a schema of 64 KiB: all arrive as they are, and the last can be called and answered."""
    live = claude()
    words = {"type": "string", "description": "w" * 64 * 1024}
    tools = tuple(Tool(f"f{number}", "", {"type": "object", "properties": {"x": words}}) for number in range(128))
    asked = user('[[stub call=f127 {"x": "a"}]]')
    _, first = await answered(live, asked, tools=tools)
    (call,) = calls(first)
    await answered(live, asked, first, result(call), tools=tools)

    for recorded in stub_anthropic.requests:
        assert [(tool["name"], tool["input_schema"]) for tool in recorded.body["tools"]] == [
            (tool.name, tool.schema) for tool in tools
        ]
    assert live.started == 1


NAMES = (
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "Task",
    "StructuredOutput",
    "function",
    "mcp__client__function",
    "-",
)


@pytest_twisted.ensureDeferred
async def test_names_that_mean_something_to_the_cli(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Functions may be called what they like: the CLI asks for each, and tells the model the name that it used."""
    live = claude()
    tools = tuple(Tool(name) for name in NAMES)
    asked = user(f"[[stub {' '.join(f'call={name}' for name in NAMES)}]]")
    _, first = await answered(live, asked, tools=tools)
    results = [result(call, call.name) for call in calls(first)]
    sink, _ = await answered(live, asked, first, *results, tools=tools)

    assert [call.name for call in calls(first)] == list(NAMES)
    assert sent(stub_anthropic.requests[-1])[1:] == [
        {"role": "assistant", "content": [use(call, {}) for call in calls(first)]},
        {"role": "user", "content": [returned(call, call.name) for call in calls(first)]},
    ]
    assert sink.events[-1] == Finished(FinishReason.STOP)
    assert (live.started, len(stub_anthropic.requests)) == (1, 2)


@pytest_twisted.ensureDeferred
async def test_a_named_session_takes_results_alone(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """With the session's id only the results need to be sent; wrong ones are named, and harm nothing."""
    live = claude()
    sink, first = await answered(live, user(CALL))
    (call,) = calls(first)
    assert sink.head is not None
    session = {"session_id": sink.head.session_id}
    for wrong, named in ((user("hello"), call.call_id), (user(ToolResult("other")), call.call_id)):
        with pytest.raises(InvalidValue, match=named):
            await answered(live, wrong, **session)
    await answered(live, result(call, "It rains."), **session)

    assert live.started == 1
    assert sent(stub_anthropic.requests[-1])[2] == {"role": "user", "content": [returned(call, "It rains.")]}


@pytest_twisted.ensureDeferred
async def test_a_parked_process_gives_its_place(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Parked processes do not keep others out, and a stop ends them without another word to the model."""
    live = claude(MAX_CONCURRENT_PROCESSES="1")
    _, first = await answered(live, user(CALL))
    await answered(live, user("another conversation"))
    await until(reactor, lambda: live.spawner.ended == 1)
    (call,) = calls(first)
    await answered(live, user(CALL), first, result(call))
    await answered(live, user("again " + CALL))
    count = len(stub_anthropic.requests)
    await live.stop()

    assert live.most_at_once == 1
    assert len(stub_anthropic.requests) == count == 4
