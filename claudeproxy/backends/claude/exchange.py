"""
What can be said to the CLI in its own way, so that the API gets it unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from claudeproxy.backends.claude.parking import DOTS, Results
from claudeproxy.core.chat import Message, Role, Text, ToolResult

__all__ = ["are_plain_results", "is_plain_prompt", "results_of"]

_LONGEST_RESULT = 400_000
"""Characters of a result; from half a million on the CLI puts it into a file (seen)."""


def is_plain_prompt(messages: Sequence[Message]) -> bool:
    """
    Whether messages can be one line to the CLI: the user's, and without pictures, which would be made smaller (seen).
    """
    return all(
        message.role is Role.USER and all(isinstance(part, Text) for part in message.parts) for message in messages
    )


def are_plain_results(messages: Sequence[Message]) -> bool:
    """
    Whether a parked process can be told these: results with some text, no pictures, and nothing beside them. For an
    empty one the CLI has words of its own, and what a user says meanwhile becomes a remark of the system (seen).
    """
    return all(
        isinstance(part, ToolResult)
        and all(isinstance(each, Text) for each in part.content)
        and 0 < len("".join(each.text for each in part.content if isinstance(each, Text)).strip()) <= _LONGEST_RESULT
        for message in messages
        for part in message.parts
    )


def results_of(messages: Sequence[Message], *, told_whole: bool) -> Results:
    """
    Return what functions returned, as the CLI is told it.

    :param told_whole: whether the API gets the conversation from us.
    """
    return {
        part.call_id: DOTS if told_whole else tuple(each for each in part.content if isinstance(each, Text))
        for message in messages
        for part in message.parts
        if isinstance(part, ToolResult)
    }
