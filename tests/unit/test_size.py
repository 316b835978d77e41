"""
How long a conversation may be.
"""

from __future__ import annotations

import pytest

from claudeproxy.core.chat import Image, Message, Role, Text, ToolCall, ToolResult
from claudeproxy.core.size import ConversationSize
from claudeproxy.errors import InvalidValue

MESSAGES = (
    Message(Role.USER, [Text("abc"), Image("image/png", "x" * 1000)]),
    Message(Role.ASSISTANT, [ToolCall("c", "f", "{}")]),
    Message(Role.USER, [ToolResult("c", (Text("four"),))]),
)


@pytest.mark.parametrize("size", [ConversationSize(), ConversationSize(3, 11), ConversationSize(0, 11)])
def test_what_is_short_enough_passes(size: ConversationSize) -> None:
    """The limits themselves are allowed, and 0 is none."""
    size.check(MESSAGES, "sy")


@pytest.mark.parametrize(
    ("size", "named"), [(ConversationSize(2), "3 messages.*2"), (ConversationSize(0, 10), "11 characters.*10")]
)
def test_what_is_too_long_is_told_by_how_much(size: ConversationSize, named: str) -> None:
    """The client learns which limit it is, and how long its conversation was; all that is said counts."""
    with pytest.raises(InvalidValue, match=named) as raised:
        size.check(MESSAGES, "sy")

    assert raised.value.param == "messages"
