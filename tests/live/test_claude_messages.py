"""
What a conversation may hold beside questions and answers, on the real CLI: the beginning of an answer, remarks of the
system, names, thoughts.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from claudeproxy.core.chat import (
    ChatRequest,
    Effort,
    Message,
    Part,
    Role,
    Text,
    ToolCall,
    ToolResult,
    TurnSettings,
)
from claudeproxy.core.events import ToolCallStarted
from claudeproxy.core.tools import Tool
from claudeproxy.errors import RequestRefused
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import LiveBackend, Make, RecordingSink

HI = Message(Role.USER, "Hi")
ADD = Tool("add")
CALL = '[[stub thinking=Let me see. call=add {"a": 1}]]'
OLDER = {"model": "claude-sonnet-4-5", "backend_model": "claude-sonnet-4-5"}
"""A model that takes what newer ones refuse."""


def assistant(*parts: str | Part) -> Message:
    """An answer, or its beginning."""
    return Message(Role.ASSISTANT, [Text(part) if isinstance(part, str) else part for part in parts])


def remark(text: str) -> Message:
    """A message of the system."""
    return Message(Role.SYSTEM, text)


async def answered(live: LiveBackend, *messages: Message, **fields: Any) -> RecordingSink:
    """Serve a turn."""
    sink = RecordingSink()
    known = {"model": "sonnet", "backend_model": "sonnet", "tenant": "t"}
    await live.backend.open(ChatRequest(**{**known, "messages": messages, **fields}), sink)
    return sink


def sent(stub: StubAnthropic, number: int = -1) -> list[tuple[str, Any]]:
    """The messages of a request that say something, as (role, blocks); one text stands for itself."""
    told = []
    for message in stub.requests[number].body["messages"]:
        blocks = [{name: block[name] for name in block if name != "cache_control"} for block in message["content"]]
        if blocks:
            told.append((message["role"], blocks[0]["text"] if len(blocks) == 1 and "text" in blocks[0] else blocks))
    return told


def thinks(stub: StubAnthropic) -> bool:
    """Whether the last request lets the model think."""
    return "thinking" in stub.requests[-1].body


# -- The beginning of an answer -------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_the_answer_goes_on_where_the_client_began(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The model gets the beginning as its own, without blanks at the end, and does not think before it goes on."""
    live = claude()
    begun = Message(Role.USER, "[[stub text=in two.]]")
    sink = await answered(live, begun, assistant("It fell \n"), **OLDER)

    assert sent(stub_anthropic) == [("user", begun.parts[0].text), ("assistant", "It fell")]  # type: ignore[union-attr]
    assert not thinks(stub_anthropic)
    assert sink.text == "in two."


@pytest_twisted.ensureDeferred
async def test_the_turn_after_a_beginning(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The process stays; the model sees one answer, made of both parts, whichever way the client sends it."""
    live = claude()
    begun = Message(Role.USER, "[[stub text=in two.]]")
    sink = await answered(live, begun, assistant("It fell "), **OLDER)
    assert sink.head is not None
    await answered(live, Message(Role.USER, "Why?"), session_id=sink.head.session_id, **OLDER)

    assert sent(stub_anthropic)[1:] == [("assistant", "It fellin two."), ("user", "Why?")]
    assert thinks(stub_anthropic)
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_a_model_that_takes_no_beginning(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """It is told to go on instead; which model that is, is known the next time."""
    live = claude()
    await answered(live, HI, assistant("It fell"))
    before = len(stub_anthropic.requests)
    await answered(live, HI, assistant("It fell"))

    for number in (before - 1, before):
        *_, prefill, (role, order) = sent(stub_anthropic, number)
        assert prefill == ("assistant", "It fell")
        assert (role, "exactly from where it ends" in order) == ("user", True)
    assert before > 2
    assert len(stub_anthropic.requests) == before + 1


@pytest_twisted.ensureDeferred
async def test_what_another_model_takes_is_not_touched(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """One model's refusal says nothing of the others."""
    live = claude()
    await answered(live, HI, assistant("It fell"))
    before = len(stub_anthropic.requests)
    await answered(live, HI, assistant("It fell"), **OLDER)

    assert sent(stub_anthropic)[-1] == ("assistant", "It fell")
    assert len(stub_anthropic.requests) == before + 1


# -- Messages of the system -----------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_remarks_of_the_system_keep_their_places(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """In one request or in the next turn: they stand where they were said, in the system's role."""
    live = claude()
    first = [HI, remark("Be brief."), Message(Role.USER, "[[stub text=Yes]]")]
    sink = await answered(live, *first)
    await answered(live, *first, assistant(sink.text), remark("Be long."), Message(Role.USER, "Why?"))

    opening = [("user", "Hi"), ("system", "Be brief."), ("user", "[[stub text=Yes]]")]
    assert sent(stub_anthropic, 0) == opening
    assert sent(stub_anthropic, 1) == [*opening, ("assistant", "Yes"), ("system", "Be long."), ("user", "Why?")]
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_a_model_that_takes_no_remarks(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """It gets them as marked words of the user's, in the same places."""
    live = claude()
    await answered(live, HI, assistant("Hello"), remark("Be brief."), Message(Role.USER, "[[stub refuse=system]]"))

    reminder = {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"}
    asked = {"type": "text", "text": "[[stub refuse=system]]"}
    assert sent(stub_anthropic) == [("user", "Hi"), ("assistant", "Hello"), ("user", [reminder, asked])]


@pytest_twisted.ensureDeferred
async def test_what_is_refused_both_ways_is_told_as_it_was(claude: Make) -> None:
    """The client gets the API's first words, not those on what it never sent."""
    with pytest.raises(RequestRefused, match="no such thing"):
        await answered(claude(), remark("Be brief."), Message(Role.USER, "[[stub status=400 message=no such thing]]"))


# -- Thoughts ---------------------------------------------------------------------


def _call(sink: RecordingSink) -> ToolCall:
    (started,) = [event for event in sink.events if isinstance(event, ToolCallStarted)]
    return ToolCall(started.call_id, started.name, '{"a": 1}')


@pytest_twisted.ensureDeferred
async def test_what_was_thought_before_a_call_is_told_again(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The process is gone, and no client can know the thought: the API gets it back, signed; the model thinks on."""
    live = claude(IDLE_PROCESS_TTL_MS="0")
    asked = Message(Role.USER, CALL)
    call = _call(await answered(live, asked, tools=(ADD,)))
    await live.all_ended()
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),))
    await answered(live, asked, assistant(call), result, tools=(ADD,))

    block = {"type": "tool_use", "id": call.call_id, "name": "add", "input": {"a": 1}}
    role, (thought, called) = sent(stub_anthropic)[1]
    assert (role, called) == ("assistant", block)
    assert thought == {"type": "thinking", "thinking": "Let me see.", "signature": thought["signature"]}
    assert thinks(stub_anthropic)
    assert live.started == 2


@pytest_twisted.ensureDeferred
async def test_a_thought_of_another_conversation_is_nobodys(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Another tenant that names the call gets nothing of it, nor does another model; neither thinks on."""
    live = claude(IDLE_PROCESS_TTL_MS="0")
    asked = Message(Role.USER, CALL)
    call = _call(await answered(live, asked, tools=(ADD,)))
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),))
    for fields in ({"tenant": "other"}, {"model": "haiku", "backend_model": "haiku"}):
        await answered(live, asked, assistant(call), result, tools=(ADD,), **fields)

        assert [block["type"] for block in sent(stub_anthropic)[1][1]] == ["tool_use"]
        assert not thinks(stub_anthropic)


@pytest_twisted.ensureDeferred
async def test_thoughts_are_over_with_the_users_next_words(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Once the user speaks again, what was thought before is left out, as the API leaves it out itself."""
    live = claude(IDLE_PROCESS_TTL_MS="0")
    sink = await answered(live, Message(Role.USER, CALL), tools=(ADD,))
    assert sink.head is not None
    session = {"session_id": sink.head.session_id, "tools": (ADD,)}
    result = ToolResult(_call(sink).call_id, (Text("2"),))
    await live.all_ended()
    await answered(live, Message(Role.USER, (result,)), **session)
    assert [block["type"] for block in sent(stub_anthropic)[1][1]] == ["thinking", "tool_use"]
    await live.all_ended()
    await answered(live, Message(Role.USER, "And now?"), **session)

    assert [block["type"] for block in sent(stub_anthropic)[1][1]] == ["tool_use"]
    assert thinks(stub_anthropic)


@pytest_twisted.ensureDeferred
async def test_a_turn_without_thinking_gets_no_thoughts(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The API takes none back where the model may not think."""
    live = claude(IDLE_PROCESS_TTL_MS="0")
    asked = Message(Role.USER, CALL)
    call = _call(await answered(live, asked, tools=(ADD,)))
    await live.all_ended()
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("2"),)),))
    settings = TurnSettings(effort=Effort.NONE)
    await answered(live, asked, assistant(call), result, tools=(ADD,), settings=settings)

    assert [block["type"] for block in sent(stub_anthropic)[1][1]] == ["tool_use"]


# -- Sampling -----------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_temperature_is_honoured_if_the_operator_says_so(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Natively, without thinking, for one turn."""
    live = claude(SAMPLING="honour")
    sink = await answered(live, HI, settings=TurnSettings(temperature=0.25, top_p=0.5), **OLDER)
    body = stub_anthropic.requests[-1].body
    assert (body["temperature"], "top_p" in body, thinks(stub_anthropic)) == (0.25, False, False)
    assert sink.head is not None
    assert sink.head.ignored == ("top_p",)
    again = await answered(live, HI, assistant(sink.text), HI, **OLDER)

    assert ("temperature" in stub_anthropic.requests[-1].body, thinks(stub_anthropic)) == (False, True)
    assert again.head is not None
    assert (again.head.ignored, live.started) == ((), 1)


@pytest_twisted.ensureDeferred
async def test_a_temperature_is_ignored_and_named_otherwise(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """So that clients which send one with every request leave the model its thoughts."""
    sink = await answered(claude(), HI, settings=TurnSettings(temperature=0, top_p=1), ignored=("seed",))

    assert sink.head is not None
    assert sink.head.ignored == ("seed", "temperature", "top_p")
    assert not {"temperature", "top_p"} & set(stub_anthropic.requests[-1].body)
    assert thinks(stub_anthropic)
