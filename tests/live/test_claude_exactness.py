"""
What the CLI would change, leave out or add; found by the fuzz of :mod:`tests.live.test_fidelity`.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from claudeproxy.errors import ContextLengthExceeded
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.directives import in_json
from tests.live.claude import LiveBackend, Make
from tests.live.completions import Completion, complete
from tests.live.expected import recorded_messages
from tests.live.odd import JSON

ADD: JSON = {"tools": [{"type": "function", "function": {"name": "add"}}]}
CALL = '[[stub call=add {"a": 1}]]'


def user(*texts: str) -> JSON:
    """A user's message of these texts."""
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def result(call: JSON, *texts: str) -> JSON:
    """What a function returned."""
    return {"role": "tool", "tool_call_id": call["id"], "content": user(*texts)["content"]}


async def answered(live: LiveBackend, *messages: JSON, session_id: str | None = None, **fields: Any) -> Completion:
    """Serve a turn."""
    body = {"model": "sonnet", "messages": list(messages), **fields}
    return await complete(live, body, tenant="t", session_id=session_id)


def texts_of(stub: StubAnthropic) -> list[tuple[str, list[str | None]]]:
    """The messages that the API got last, as (role, texts); of results, what was returned."""
    messages, _ = recorded_messages(stub.requests[-1].body)
    return [
        (message["role"], [each.get("text") for block in message["content"] for each in block.get("content", [block])])
        for message in messages
    ]


@pytest_twisted.ensureDeferred
async def test_texts_that_say_nothing_are_left_out_everywhere(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A blank system prompt is none, and a result has only those of its texts that say something."""
    live = claude()
    asked = user(CALL)
    (call,) = (await answered(live, {"role": "system", "content": " \n"}, asked, **ADD)).message["tool_calls"]
    told = {"role": "assistant", "content": None, "tool_calls": [call]}
    await answered(live, asked, told, result(call, "", "42", " \t"), **ADD)

    assert len(stub_anthropic.requests[0].body["system"]) == 2
    assert texts_of(stub_anthropic)[-1] == ("user", ["42"])


@pytest_twisted.ensureDeferred
async def test_a_text_that_only_javascript_takes_for_blank(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A byte order mark is a text to Python and to the API, so it is sent, as a user's words and as a result."""
    live = claude()
    asked = user("\ufeff", CALL)
    (call,) = (await answered(live, asked, **ADD)).message["tool_calls"]
    first = texts_of(stub_anthropic)
    told = {"role": "assistant", "content": None, "tool_calls": [call]}
    await answered(live, asked, told, result(call, "\ufeff"), **ADD)

    assert first == [("user", ["\ufeff", CALL])]
    assert texts_of(stub_anthropic)[-1] == ("user", ["\ufeff"])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("blank", ["\n\n", " ", "\ufeff"])
async def test_a_blank_answer_is_an_end(blank: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The CLI would ask the model to go on; so its process ends, and what follows is told by another one."""
    live = claude()
    asked = user("Hello " + in_json(text=blank))
    first = await answered(live, asked)
    await live.all_ended()
    again = await answered(live, asked, first.message, user("And now? [[stub text=fine]]"))

    assert first.message["content"] == blank
    assert again.message["content"] == "fine"
    assert texts_of(stub_anthropic)[-1][1][-1] == "And now? [[stub text=fine]]"


@pytest_twisted.ensureDeferred
async def test_a_blank_answer_does_not_have_the_question_told_twice(
    claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """With the session's id a client may send the whole conversation, also where an answer in it says nothing."""
    live = claude()
    asked = user("Hello " + in_json(text="\n"))
    first = await answered(live, asked)
    await answered(live, asked, first.message, user("And now?"), session_id=first.session_id)

    assert texts_of(stub_anthropic) == [("user", ["Hello " + in_json(text="\n"), "And now?"])]


@pytest_twisted.ensureDeferred
async def test_a_system_prompt_does_not_have_the_question_told_twice(
    claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """Nor where the request of that question came with a system prompt of its own, which the conversation repeats."""
    live = claude()
    first = await answered(live, user("Hello"))
    changed, asked = {"role": "system", "content": "Be brief."}, user("And " + in_json(text=" "))
    second = await answered(live, changed, asked, session_id=first.session_id)
    said = (user("Hello"), first.message, changed, asked, second.message, user("And now?"))
    await answered(live, *said, session_id=first.session_id)

    assert texts_of(stub_anthropic)[2:] == [("user", ["And " + in_json(text=" "), "And now?"])]


@pytest_twisted.ensureDeferred
async def test_a_blank_answer_does_not_have_a_result_told_twice(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Nor what a function returned, in the older form too, where calls have no ids to be known by."""
    live, functions = claude(), {"functions": [{"name": "add"}]}
    asked = user(CALL)
    called = await answered(live, asked, **functions)
    returned = {"role": "function", "name": "add", "content": "2 " + in_json(text="\n")}
    named: JSON = {"session_id": called.session_id, **functions}
    blank = await answered(live, asked, called.message, returned, **named)
    await answered(live, asked, called.message, returned, blank.message, user("And now?"), **named)

    assert texts_of(stub_anthropic)[2:] == [("user", [returned["content"], "And now?"])]


@pytest_twisted.ensureDeferred
async def test_a_function_that_there_is_not(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Where the model makes one up, the client sees the call and answers it; the CLI would do so itself."""
    live = claude()
    asked = user("[[stub call=subtract {}]]")
    first = await answered(live, asked, **ADD)
    (call,) = first.message["tool_calls"]
    parked = live.backend.health().parked
    await answered(live, asked, first.message, result(call, "There is no such function."), **ADD)

    assert (call["function"]["name"], parked) == ("subtract", 0)
    assert texts_of(stub_anthropic)[-1] == ("user", ["There is no such function."])


@pytest_twisted.ensureDeferred
async def test_escapes_that_the_model_writes_stay_escapes(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """In the arguments of a call, above all in code, ``\\u00e9`` may be meant as it is written."""
    live = claude()
    arguments = r'{"code": "print(\"\\u00e9\")", "same": "\u005cu00e9"}'
    asked = user(in_json(calls=[("add", arguments)]))
    first = await answered(live, asked, **ADD)
    (call,) = first.message["tool_calls"]
    await answered(live, asked, first.message, result(call, "done"), **ADD)
    messages, _ = recorded_messages(stub_anthropic.requests[-1].body)

    assert call["function"]["arguments"] == arguments
    assert messages[1]["content"][0]["input"] == {"code": r'print("\u00e9")', "same": r"\u00e9"}
    assert live.started == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("whole", [False, True])
async def test_a_long_conversation_is_not_summed_up(whole: bool, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """However full the model's context is, the next request holds the whole conversation, and is the only one."""
    live = claude()
    system = [{"role": "assistant", "content": "Yes?"}] if whole else []
    asked = user("a " * 210_000 + "[[stub text=fine]]")
    first = await answered(live, *system, asked, model="claude-sonnet-4-5")
    await answered(live, *system, asked, first.message, user("And now?"), model="claude-sonnet-4-5")

    assert len(stub_anthropic.requests) == 2
    assert [role for role, _ in texts_of(stub_anthropic)][-3:] == ["user", "assistant", "user"]


@pytest_twisted.ensureDeferred
async def test_what_is_too_long_the_api_says(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """
    Its refusal reaches the client, and nothing else is tried than the same once more: no summary is asked for, and no
    part of the conversation is answered in the place of all of it.
    """
    live = claude()
    first = await answered(live, user("Hello"))
    refusal = "[[stub status=400 message=prompt is too long: 210000 tokens > 200000 maximum]]"
    with pytest.raises(ContextLengthExceeded):
        await answered(live, user("Hello"), first.message, user(refusal))
    _, second, *more = (each.body["messages"] for each in stub_anthropic.requests)

    assert more in ([], [second])


@pytest_twisted.ensureDeferred
async def test_settings_change_while_functions_run(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """
    The request that brings results has the limit and the effort that it asks for, and not those of the one that led to
    the calls: in the same process, and without another request.
    """
    live = claude()
    asked = user(CALL)
    first = await answered(live, asked, **ADD, max_tokens=2000, reasoning_effort="low")
    (call,) = first.message["tool_calls"]
    second = await answered(live, asked, first.message, result(call, "1 " + CALL), **ADD)
    (again,) = second.message["tool_calls"]
    before = (asked, first.message, result(call, "1 " + CALL), second.message)
    await answered(live, *before, result(again, "2"), **ADD, max_tokens=3000, reasoning_effort="high")
    bodies = [each.body for each in stub_anthropic.requests]

    assert [(body["max_tokens"], body["output_config"]["effort"]) for body in bodies] == [
        (2000, "low"),
        (bodies[1]["max_tokens"], "medium"),
        (3000, "high"),
    ]
    assert bodies[1]["max_tokens"] > 3000
    assert [role for role, _ in texts_of(stub_anthropic)] == ["user", "assistant", "user", "assistant", "user"]
    assert live.started == 1
