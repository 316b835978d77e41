"""
The calls of a history, whoever made them, as the Messages API takes them.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from claudeproxy.core.chat import Message, Role, ToolCall, ToolResult
from claudeproxy.core.history import history_digest
from claudeproxy.wire.anthropic import called_functions, message_objects


def answer(*calls: tuple[str, str]) -> Message:
    """The model calls: ids and names."""
    return Message(Role.ASSISTANT, (ToolCall(call_id, name, "{}") for call_id, name in calls))


def results(*call_ids: str) -> Message:
    """The functions return something."""
    return Message(Role.USER, (ToolResult(call_id) for call_id in call_ids))


def told(*messages: Message) -> list[dict[str, Any]]:
    """The blocks that the API gets."""
    return [block for message in message_objects(messages) for block in message["content"]]


def ids(*messages: Message) -> list[str]:
    """The ids of calls and results, in their order."""
    return [block.get("id") or block["tool_use_id"] for block in told(*messages)]


def arguments(text: str) -> Any:
    """What the API gets for a call's arguments."""
    (block,) = told(Message(Role.ASSISTANT, (ToolCall("c", "f", text),)))
    return block["input"]


# -- Ids ----------------------------------------------------------------------


def test_an_id_that_comes_again_is_another_one() -> None:
    """Many clients count anew in each answer. The first keeps its id, and each result stays with its own call."""
    conversation = (
        answer(("call_0", "f"), ("call_1", "f")),
        results("call_1", "call_0"),
        answer(("call_0", "f")),
        results("call_0"),
        answer(("call_0", "f"), ("call_2", "f")),
        results("call_2", "call_0"),
    )
    first, second, third = ids(*conversation)[:4], ids(*conversation)[4:6], ids(*conversation)[6:]

    assert first == ["call_0", "call_1", "call_1", "call_0"]
    assert second == [second[0]] * 2
    assert third == [third[0], "call_2", "call_2", third[0]]
    assert len({"call_0", "call_1", "call_2", second[0], third[0]}) == 5


def test_no_id_of_a_client_is_taken_for_one_of_ours() -> None:
    """Not even when a call has the very id that another one was given."""
    (_, given) = ids(answer(("a", "f")), answer(("a", "f")))
    later = ids(answer(("a", "f")), answer(("a", "f")), answer((given, "f"), ("a 2", "f")), results(given, "a 2"))
    before = ids(answer((given, "f")), answer(("a", "f")), answer(("a", "f")), results("a"))

    assert later[:2] == ["a", given]
    assert len({*later[:4]}) == 4
    assert later[4:] == later[2:4]
    assert before[:2] == [given, "a"]
    assert len({*before[:3]}) == 3
    assert before[3] == before[2]


def test_ids_stay_while_a_conversation_grows() -> None:
    """The API's cache knows a conversation again by what it was told before."""
    rounds = [message for _ in range(5) for message in (answer(("c", "f")), results("c"))]

    assert [ids(*rounds[:end]) for end in range(11)] == [ids(*rounds)[:end] for end in range(11)]


def test_a_result_without_its_call_keeps_its_id() -> None:
    """A session may know the call."""
    assert ids(results("c")) == ["c"]


def test_a_conversation_is_known_by_the_ids_that_its_client_sends() -> None:
    """What the API is told does not change which conversations are the same."""
    conversation = (answer(("c", "a.b")), results("c"), answer(("c", "a.b")))
    before = history_digest("t", "m", "", (), conversation)
    message_objects(conversation)

    assert history_digest("t", "m", "", (), conversation) == before
    assert conversation[2].parts == (ToolCall("c", "a.b", "{}"),)


# -- Names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get-Weather_2", "get-Weather_2"),
        ("functions.add", "functions_add"),
        ("get weather", "get_weather"),
        ("größe\n", "gr__e_"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128),
        ("", "_"),
    ],
)
def test_a_functions_name_is_made_fit(name: str, expected: str) -> None:
    """A conversation that began elsewhere may have called what could not be offered here."""
    assert [block["name"] for block in told(answer(("c", name)))] == [expected]


def test_the_functions_that_were_called() -> None:
    """Each is named once, as its calls are told."""
    conversation = (answer(("a", "x.y"), ("b", "f")), results("a", "b"), answer(("c", "x_y"), ("d", "f")))

    assert called_functions(conversation) == ["x_y", "f"]


# -- Arguments ----------------------------------------------------------------


@pytest.mark.parametrize("levels", [501, 700, 900, 1_000, 2_000, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_arguments_that_nest_too_deeply_are_told_as_they_are(levels: int, begin: str, end: str) -> None:
    """They are text then, like those that are no JSON: neither reading nor sending them can fail."""
    text = begin * levels + ("1" if end == "}" else "") + end * levels
    text = f'{{"x": {text}}}' if end == "]" else text

    assert arguments(text) == {"_unparsed": text}


def test_arguments_may_nest() -> None:
    """As deeply as anything else that a client brings along, and what is made of them can be sent."""
    text = '{"a":' * 500 + "1" + "}" * 500
    conversation = [Message(Role.ASSISTANT, (ToolCall("c", "f", text),))]

    assert arguments(text) == json.loads(text)
    assert text.encode() in msgspec.json.encode(message_objects(conversation))
