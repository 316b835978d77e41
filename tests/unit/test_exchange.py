"""
What can be said to the CLI in its own way, and what of a message says anything.
"""

from __future__ import annotations

import pytest

from claudeproxy.backends.claude.requests.exchange import are_plain_results, is_plain_answer, is_plain_prompt
from claudeproxy.core.chat import Image, Message, Part, Role, Text, Thinking, ToolCall, ToolResult

PICTURE = Image("image/png", "AAAA")


def user(*parts: Part) -> Message:
    """A user's message."""
    return Message(Role.USER, parts)


def returned(*content: Text | Image) -> ToolResult:
    """What a function returned."""
    return ToolResult("call_1", content)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (user(Text("Hello"), Text(" you ")), True),
        (user(Text("Hello"), PICTURE), False),
        (user(Text("Hello"), Text("\ufeff")), False),
        (Message(Role.SYSTEM, "Hello"), False),
    ],
)
def test_what_a_user_may_say(message: Message, plain: bool) -> None:
    """Words, as long as JavaScript takes none of them for blank."""
    assert is_plain_prompt([user(Text("Hi")), message]) is plain


@pytest.mark.parametrize(
    ("part", "plain"),
    [
        (returned(Text("42"), Text("43")), True),
        (returned(Text("x" * 200_000), Text("x" * 200_000)), True),
        (returned(Text("x" * 200_000), Text("x" * 200_001)), False),
        (returned(Text("\U0001f600" * 200_001)), False),
        (returned(), False),
        (returned(Text("42"), Text("\ufeff ")), False),
        (returned(Text("42"), PICTURE), False),
        (Text("And now?"), False),
    ],
)
def test_what_functions_may_return(part: Part, plain: bool) -> None:
    """Texts that say something and are not too long, with nothing beside them."""
    assert are_plain_results([user(returned(Text("42"))), user(part)]) is plain


@pytest.mark.parametrize(
    ("arguments", "plain"),
    [
        (r'{"a": "\u00e9\n\\ u00e9"}', True),
        ('{"a": "\\"ué"}', True),
        (r'{"a": "\\u00e9"}', False),
        (r'{"a": "\u005cu00e9"}', False),
        (r'{"\u005Cu00e9": 1}', False),
    ],
)
def test_which_calls_the_cli_remembers_well(arguments: str, plain: bool) -> None:
    """All but those whose strings hold a backslash and a ``u``."""
    parts = (Thinking(r"\\u00e9"), Text(r"\\u00e9"), ToolCall("call_1", "f", "{}"), ToolCall("call_2", "f", arguments))

    assert is_plain_answer(parts) is plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [("Hello", True), (" ", True), ("\ufeff", False), ("\x1f", False), (" (no content)\n", False), ("(none)", True)],
)
def test_which_words_the_cli_remembers(text: str, plain: bool) -> None:
    """All but what only one of it and us takes for blank, and what it says itself where there are none."""
    assert is_plain_answer((Text(text), ToolCall("call_1", "f", "{}"))) is plain


def test_what_says_nothing_is_left_out() -> None:
    """Blank texts, also among what a function returned; the result itself stays, for its call wants one."""
    message = user(Text(" "), returned(Text(""), Text("42"), Text("\n")), returned(Text("")), Text("Well"))

    worded = message.worded
    assert worded == user(returned(Text("42")), returned(), Text("Well"))
    assert worded is not None and worded.worded is worded
    assert user(Text("\n"), Text("")).worded is None
