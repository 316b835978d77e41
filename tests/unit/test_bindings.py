"""
Which thoughts a model takes back.
"""

from __future__ import annotations

import pytest

from claudeproxy.backends.claude.requests.bindings import head_of, in_place, place_after, placed
from claudeproxy.core.chat import Message, Role, Text, Thinking, ToolCall, ToolResult
from claudeproxy.core.tools import Tool

HEAD = head_of("Be brief.", [Tool("add")])
ASKED = Message(Role.USER, "How much?")


def step(number: int, told: tuple[Message, ...] = (), head: bytes = HEAD) -> tuple[Message, Message]:
    """A call after a thought, had after ``told``, and its result."""
    parts = (Thinking("Hm", f"signed {number}"), ToolCall(f"c{number}", "add", "{}"))
    result = Message(Role.USER, (ToolResult(f"c{number}", (Text("2"),)),))
    return Message(Role.ASSISTANT, placed(parts, place_after(head, told))), result


def kept(messages: tuple[Message, ...]) -> list[bool]:
    """Which calls still have their thoughts."""
    answers = [message for message in messages if message.role is Role.ASSISTANT]
    return [isinstance(message.parts[0], Thinking) for message in answers]


FIRST = (ASKED, *step(1, (ASKED,)))
SECOND = (*FIRST, *step(2, FIRST))


def test_thoughts_in_their_places_stay() -> None:
    """Each comes after what it came after, the thoughts before it included."""
    assert in_place(HEAD, SECOND) == SECOND
    assert in_place(HEAD, (ASKED,)) == (ASKED,)


def test_thoughts_after_something_else_are_left_out() -> None:
    """Another system prompt or function, or another word: none has its place."""
    changed = (Message(Role.USER, "How many?"), *SECOND[1:])

    assert kept(in_place(head_of("Be long.", [Tool("add")]), SECOND)) == [False, False]
    assert kept(in_place(head_of("Be brief.", [Tool("add", "Add.")]), SECOND)) == [False, False]
    assert kept(in_place(HEAD, changed)) == [False, False]


def test_one_that_was_had_without_another_stays_without_it() -> None:
    """The last thought counts most, whether the one before it has lost its place or has it again."""
    shown = (ASKED, FIRST[1].shown, FIRST[2])
    lost = (ASKED, *step(1, (ASKED,), head=b"other"))
    for before in (FIRST, lost):
        assert kept(in_place(HEAD, (*before, *step(2, shown)))) == [False, True]


@pytest.mark.parametrize("head", [HEAD, b"other"], ids=["the same", "another"])
def test_a_long_loop_of_calls(head: bytes) -> None:
    """Each thought was had without those before it, as after another process each time: the last one stays alone."""
    shown: list[Message] = [ASKED]
    thoughtful: list[Message] = [ASKED]
    for number in range(1000):
        answer, result = step(number, tuple(shown))
        thoughtful += (answer, result)
        shown += (answer.shown, result)
    fitting = kept(in_place(head, tuple(thoughtful)))

    assert (sum(fitting), fitting[-1]) == ((1, True) if head == HEAD else (0, False))


def test_one_in_the_middle_may_be_left_out_alone() -> None:
    """The last was had with the first, and without the second."""
    loose = step(2, FIRST, head=b"other")
    told = (*FIRST, loose[0].shown, loose[1])

    assert kept(in_place(HEAD, (*FIRST, *loose, *step(3, told)))) == [True, False, True]
