"""
Models that take thoughts back only where they had them, on the real CLI.

Claude Sonnet 5.5 is one (the API's guide to preserved thinking), and the stub is as strict.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from claudeproxy.core.chat import (
    AnswerFormat,
    ChatRequest,
    Message,
    Part,
    Role,
    Text,
    ToolCall,
    ToolResult,
    TurnSettings,
)
from claudeproxy.core.events import ToolCallDelta, ToolCallStarted
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.directives import in_json
from tests.live.claude import LiveBackend, Make, RecordingSink, until

TOOLS = (Tool("add"), Tool("subtract"))
CALL = '[[stub thinking=Hmm. call=add {"a": 1}]]'
REQUIRED = ToolChoice(ToolUse.REQUIRED)


def user(*parts: Part | str) -> Message:
    """A user's message."""
    return Message(Role.USER, [Text(part) if isinstance(part, str) else part for part in parts])


async def answered(
    live: LiveBackend, *messages: Message, session_id: str | None = None, system: str = "", **settings: Any
) -> tuple[RecordingSink, Message]:
    """Serve a turn; return what the client gets, and what it makes of it."""
    sink = RecordingSink()
    request = ChatRequest(
        model="sonnet",
        backend_model="sonnet",
        tenant="t",
        system=system,
        messages=messages,
        tools=TOOLS,
        settings=TurnSettings(**settings),
        session_id=session_id,
    )
    await live.backend.open(request, sink)
    arguments = [event for event in sink.events if isinstance(event, ToolCallDelta)]
    calls = [
        ToolCall(event.call_id, event.name, "".join(each.arguments for each in arguments if each.index == event.index))
        for event in sink.events
        if isinstance(event, ToolCallStarted)
    ]
    return sink, Message(Role.ASSISTANT, [*([Text(sink.text)] if sink.text else []), *calls])


def result(answer: Message, text: str = "2") -> Message:
    """What the function returned that an answer calls."""
    (call,) = [part for part in answer.parts if isinstance(part, ToolCall)]
    return user(ToolResult(call.call_id, (Text(text),) if text else ()))


def thoughts(stub: StubAnthropic) -> list[int]:
    """How many thoughts each request told the model again."""
    blocks = [[block for message in each.body["messages"] for block in message["content"]] for each in stub.requests]
    return [sum(isinstance(block, dict) and block["type"] == "thinking" for block in request) for request in blocks]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "changed", [{"tool_choice": ToolChoice(allowed=frozenset({"add"}))}, {"format": AnswerFormat()}]
)
async def test_thoughts_end_with_the_functions_that_there_were(
    changed: dict[str, Any], claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """A turn with other functions does without what was thought before; what the CLI tells all the same is refused."""
    live = claude()
    asked = user("Hello [[stub thinking=Hmm. text=Hi]]")
    _, first = await answered(live, asked)
    _, second = await answered(live, asked, first, user("On"), **changed)
    await answered(live, asked, first, user("On"), second, user("Bye"), **changed)
    accepted = [each.status == 200 for each in stub_anthropic.requests]

    assert [count for count, taken in zip(thoughts(stub_anthropic), accepted, strict=True) if taken] == [0, 0, 0]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("call", "returned"), [(CALL, "2"), (CALL, ""), (in_json(text="\n", thinking="Hmm.", calls=[("add", "{}")]), "2")]
)
async def test_a_thought_in_its_place_is_told_by_another_process(
    call: str, returned: str, claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """What is thought before a call is told with its result, also where the whole conversation is told anew."""
    live = claude()
    asked = user(call)
    _, called = await answered(live, asked, system="Be brief.")
    if returned:
        live.spawner.started[0].kill()
        await until(live.clock, lambda: live.spawner.started[0].over)
    await answered(live, asked, called, result(called, returned), system="Be brief.")

    assert thoughts(stub_anthropic) == [0, 1]
    assert live.started == (2 if returned else 1)


@pytest_twisted.ensureDeferred
async def test_all_thoughts_since_the_user_spoke_are_told(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The model calls, thinks and calls again; another process is told both thoughts, whatever came back first."""
    live = claude()
    asked = user('[[stub thinking=Hmm. call=add {"a": 1} call=subtract {"a": 1}]]')
    _, both = await answered(live, asked)
    ids = [part.call_id for part in both.parts if isinstance(part, ToolCall)]
    results = [user(ToolResult(each, (Text(CALL if each == ids[0] else "2"),))) for each in reversed(ids)]
    _, again = await answered(live, asked, both, *results)
    live.spawner.started[0].kill()
    await until(live.clock, lambda: live.spawner.started[0].over)
    sink, _ = await answered(live, asked, both, *results, again, result(again, "[[stub text=Done]]"))

    assert sink.text == "Done"
    assert thoughts(stub_anthropic) == [0, 1, 2]


@pytest_twisted.ensureDeferred
async def test_a_thought_after_one_that_is_left_out_stays(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """One that lost its place takes with it none of those that were had without it."""
    live = claude()
    asked = user(CALL)
    _, called = await answered(live, asked, tool_choice=REQUIRED)
    _, again = await answered(live, asked, called, result(called, CALL))
    before = len(stub_anthropic.requests)
    sink, _ = await answered(live, asked, called, result(called, CALL), again, result(again, "[[stub text=Done]]"))

    assert sink.text == "Done"
    assert thoughts(stub_anthropic)[before:] == [1]


@pytest_twisted.ensureDeferred
async def test_a_thought_that_lost_its_place_is_left_out(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """After a call that the model was asked for in words; that such thoughts are refused is learned once."""
    live = claude()
    counts = []
    for text in ("Add", "Add that"):
        asked = user(f"{text} {CALL}")
        _, called = await answered(live, asked, tool_choice=REQUIRED)
        before = len(stub_anthropic.requests)
        sink, _ = await answered(live, asked, called, result(called, "[[stub text=Done]]"))
        counts.append(thoughts(stub_anthropic)[before:])
        assert sink.text == "Done"

    assert counts[0][0] == 1 and counts[0][-1] == 0
    assert counts[1] == [0]


@pytest_twisted.ensureDeferred
async def test_no_thought_stands_in_the_middle_of_an_answer(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A model that is asked to go on with the client's words thinks first; what it says is one with these words."""
    live = claude()
    asked = user('[[stub thinking=Hmm. text=in two. call=add {"a": 1}]]')
    sink, called = await answered(live, asked, Message(Role.ASSISTANT, "It fell "))
    assert sink.head is not None
    await answered(live, result(called), session_id=sink.head.session_id)

    (answer,) = [each for each in stub_anthropic.requests[-1].body["messages"] if each["role"] == "assistant"]
    assert [block.get("text") or block["type"] for block in answer["content"]] == ["It fellin two.", "tool_use"]
