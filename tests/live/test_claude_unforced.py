"""
Models that refuse to be forced to call a function, and other things that the newest ones refuse, on the real CLI.

Claude Sonnet 5.5 takes neither a forced choice of functions nor sampling parameters (the API's migration guide).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted

from claudeproxy.core.chat import AnswerFormat, ChatRequest, Message, Role, Text, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.events import FinishReason, ToolCallStarted
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.errors import AnswerNotJSON, NoFunctionCalled, RequestRefused
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import LiveBackend, Make, RecordingSink

ADD, SUBTRACT = Tool("add"), Tool("subtract")
REQUIRED, ONE = ToolChoice(ToolUse.REQUIRED), ToolChoice(ToolUse.ONE, "add")


def user(text: str) -> Message:
    """A user's message."""
    return Message(Role.USER, text)


async def answered(
    live: LiveBackend, *messages: Message, tools: tuple[Tool, ...] = (), **settings: Any
) -> RecordingSink:
    """Serve a turn."""
    sink = RecordingSink()
    known = {"model": "sonnet", "backend_model": "sonnet", "tenant": "t"}
    await live.backend.open(
        ChatRequest(**known, messages=messages, tools=tools, settings=TurnSettings(**settings)), sink
    )
    return sink


def called(sink: RecordingSink) -> list[str]:
    """The functions that the client sees called."""
    return [event.name for event in sink.events if isinstance(event, ToolCallStarted)]


def choices(stub: StubAnthropic) -> list[str | None]:
    """How free the model was, request for request."""
    return [(each.body.get("tool_choice") or {}).get("type") for each in stub.requests]


def last_said(stub: StubAnthropic) -> str:
    """The last words of the last request."""
    content = stub.requests[-1].body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("choice", "offered"), [(REQUIRED, ["add", "subtract"]), (ONE, ["add"])])
async def test_who_cannot_be_forced_is_asked(
    choice: ToolChoice, offered: list[str], claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """The model is told to call, and of nothing that it must not call; the next turn is made so at once."""
    live = claude()
    for prompt in ("[[stub refuse=forced call=add]]", "[[stub call=add]]"):
        sink = await answered(live, user(prompt), tools=(ADD, SUBTRACT), tool_choice=choice)

        assert (called(sink), sink.finished.reason) == (["add"], FinishReason.TOOL_CALLS)
        assert [tool["name"] for tool in stub_anthropic.requests[-1].body["tools"]] == offered
        assert "Call " in last_said(stub_anthropic)
    assert choices(stub_anthropic)[-2:] == ["auto", "auto"]
    assert set(choices(stub_anthropic)[:-2]) == {"any" if choice is REQUIRED else "tool"}


@pytest_twisted.ensureDeferred
async def test_two_refusals_are_two_lessons(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that takes neither a beginning nor a forced call is asked for both at once the next time."""
    live = claude()
    begun = Message(Role.ASSISTANT, "It")
    first = await answered(live, user("Add"), begun, tools=(ADD,), tool_choice=REQUIRED)
    tried = len(stub_anthropic.requests)
    second = await answered(live, user("Add"), begun, tools=(ADD,), tool_choice=REQUIRED)
    roles = [message["role"] for message in stub_anthropic.requests[-1].body["messages"] if message["content"]]

    assert called(first) == called(second) == ["add"]
    assert tried > 2 and len(stub_anthropic.requests) == tried + 1
    assert roles == ["user", "assistant", "user"]


@pytest_twisted.ensureDeferred
async def test_a_call_that_is_asked_for_has_no_form(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """As with a call that is forced: the form of an answer's text is for an answer that has some."""
    prompt = user("[[stub refuse=forced call=add]]")
    sink = await answered(claude(), prompt, tools=(ADD,), tool_choice=REQUIRED, format=AnswerFormat())

    assert called(sink) == ["add"]
    assert choices(stub_anthropic)[-1] == "auto"
    assert all("format" not in (each.body.get("output_config") or {}) for each in stub_anthropic.requests)


@pytest_twisted.ensureDeferred
async def test_words_are_no_call(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Who asks for a call gets one or an error, and never the words of a model that made none."""
    sink = RecordingSink()
    settings = TurnSettings(tool_choice=REQUIRED)
    request = ChatRequest(
        model="sonnet",
        backend_model="sonnet",
        tenant="t",
        messages=(user("[[stub refuse=forced text=I would rather talk.]]"),),
        tools=(ADD,),
        settings=settings,
    )
    with pytest.raises(NoFunctionCalled):
        await claude().backend.open(request, sink)

    assert sink.text == ""


@pytest_twisted.ensureDeferred
async def test_results_of_functions_that_were_asked_for(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The conversation goes on as any other, and the API is told of it what the client knows."""
    live = claude()
    asked = user("[[stub refuse=forced call=add]]")
    sink = await answered(live, asked, tools=(ADD,), tool_choice=REQUIRED)
    (call,) = [event for event in sink.events if isinstance(event, ToolCallStarted)]
    answer = Message(Role.ASSISTANT, (ToolCall(call.call_id, "add", "{}"),))
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),))
    last = await answered(live, asked, answer, result, tools=(ADD,))

    assert last.finished.reason is FinishReason.STOP
    assert [message["role"] for message in stub_anthropic.requests[-1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    assert "system-reminder" not in json.dumps(stub_anthropic.requests[-1].body["messages"])
    assert live.started == 2


@pytest_twisted.ensureDeferred
async def test_an_object_without_force(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """An object comes of a call all the same; the model is asked for it."""
    refused = '[[stub refuse=forced call=answer {"x": 1}]]'
    sink = await answered(claude(), user(refused), format=AnswerFormat())

    assert json.loads(sink.text) == {"x": 1}
    assert sink.finished.reason is FinishReason.STOP
    assert called(sink) == []
    assert choices(stub_anthropic)[-1] == "auto"
    assert "the function answer" in last_said(stub_anthropic)


@pytest_twisted.ensureDeferred
async def test_an_object_and_no_call(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where the client's functions must not be called, the model is told of none that it could call."""
    prompt, choice = user("[[stub refuse=forced call=answer {}]]"), ToolChoice(ToolUse.NONE)
    sink = await answered(claude(), prompt, tools=(ADD,), tool_choice=choice, format=AnswerFormat())

    assert (sink.text, called(sink)) == ("{}", [])
    assert [tool["name"] for tool in stub_anthropic.requests[-1].body["tools"]] == ["answer"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("wanted", [{"tools": (ADD,), "tool_choice": REQUIRED}, {"format": AnswerFormat()}])
async def test_why_a_model_refuses_to_call(wanted: dict[str, Any], claude: Make) -> None:
    """What it says instead of the call that it was asked for is the refusal."""
    sink = await answered(claude(), user("[[stub refuse=forced stop=refusal text=I cannot help.]]"), **wanted)

    assert sink.text == ""
    assert (sink.finished.reason, sink.finished.refusal) == (FinishReason.CONTENT_FILTER, "I cannot help.")


@pytest_twisted.ensureDeferred
async def test_prose_instead_of_an_object_is_an_error(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Also where the model was asked for a call, after it had ignored the schema and refused force."""
    with pytest.raises(AnswerNotJSON):
        await answered(
            claude(), user("[[stub refuse=forced text=x is 1]]"), format=AnswerFormat({"type": "object"}, "answer")
        )

    assert "output_config" in stub_anthropic.requests[0].body
    assert choices(stub_anthropic)[-1] == "auto"


@pytest_twisted.ensureDeferred
async def test_schemas_that_are_too_much_for_strictness(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Functions that the API will not be strict about are offered all the same, and remembered."""
    live = claude()
    strict = Tool("add", strict=True)
    for prompt in ("[[stub refuse=strict call=add]]", "[[stub call=add]]"):
        sink = await answered(live, user(prompt), tools=(strict,))

        assert called(sink) == ["add"]
        assert "strict" not in stub_anthropic.requests[-1].body["tools"][0]
    await answered(live, user("Hello"), tools=(Tool("other", strict=True),))

    assert stub_anthropic.requests[-1].body["tools"][0]["strict"] is True


@pytest_twisted.ensureDeferred
async def test_models_that_take_no_temperature(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where it is to be honoured and the model refuses it, the turn is made without, and the next one says so."""
    live = claude(SAMPLING="honour")
    first = await answered(live, user("[[stub refuse=sampling]]"), temperature=0.1)
    second = await answered(live, user("Hello"), temperature=0.1)
    assert second.head is not None

    assert first.finished.reason is FinishReason.STOP
    assert [each.body.get("temperature") for each in stub_anthropic.requests[-2:]] == [None, None]
    assert second.head.ignored == ("temperature",)


@pytest_twisted.ensureDeferred
async def test_thoughts_that_the_api_does_not_want_back(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Thoughts are bound to a conversation; one that differs for the API is told without them."""
    live = claude(IDLE_PROCESS_TTL_MS="0")
    asked = user("[[stub thinking=Hm. call=add]]")
    sink = await answered(live, asked, tools=(ADD,))
    (call,) = [event for event in sink.events if isinstance(event, ToolCallStarted)]
    await live.all_ended()
    answer = Message(Role.ASSISTANT, (ToolCall(call.call_id, "add", "{}"),))
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("[[stub refuse=thoughts]]"),)),))
    last = await answered(live, asked, answer, result, tools=(ADD,))
    told = [[block["type"] for block in each.body["messages"][1]["content"]] for each in stub_anthropic.requests[1:]]

    assert last.finished.reason is FinishReason.STOP
    assert (told[0], told[-1]) == (["thinking", "tool_use"], ["tool_use"])


@pytest_twisted.ensureDeferred
async def test_what_is_refused_in_all_words(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The client is told what the API said of its own request."""
    with pytest.raises(RequestRefused) as raised:
        await answered(
            claude(), user("[[stub status=400 message=Everything is wrong]]"), tools=(ADD,), tool_choice=REQUIRED
        )

    assert "Everything is wrong" in raised.value.message
    assert choices(stub_anthropic)[0] == "any"
    assert choices(stub_anthropic)[-1] == "auto"


@pytest_twisted.ensureDeferred
async def test_an_object_that_nobody_can_read_is_an_error(claude: Make) -> None:
    """However deep it is, the client hears of it at once."""
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    with pytest.raises(AnswerNotJSON):
        await answered(claude(), user(f"[[stub text={deep}]]"), format=AnswerFormat({"type": "object"}, "answer"))
