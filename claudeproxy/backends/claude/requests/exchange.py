"""
What can be said to the CLI in its own way, so that the API gets it unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from claudeproxy.backends.claude.answers.blanks import is_blank, is_disputed
from claudeproxy.core.chat import Image, Message, Part, Role, Text, ToolCall, ToolResult
from claudeproxy.wire.numbers import keeps_numbers

__all__ = ["DOTS", "Results", "are_plain_results", "is_plain_answer", "is_plain_prompt", "results_of"]

DOTS = (Text("."),)
"""The least that the CLI takes for something."""

Results = Mapping[str, tuple[Text | Image, ...]]
"""What functions returned, by the ids of the calls."""

_LONGEST_RESULT = 400_000
"""Characters of a result as JavaScript counts them; from half a million on the CLI puts it into a file (seen)."""
_ESCAPE = re.compile(r"\\\\u|\\u005c", re.IGNORECASE)
"""A backslash in a JSON string, and what may make it the beginning of an escape."""
_NO_WORDS = "(no content)"


def is_plain_prompt(messages: Sequence[Message]) -> bool:
    """
    Whether messages can be one line to the CLI: the user's, and without pictures, which would be made smaller (seen),
    or blank texts, which would be left out (seen).
    """
    return all(
        message.role is Role.USER and all(isinstance(part, Text) and not is_blank(part.text) for part in message.parts)
        for message in messages
    )


def are_plain_results(messages: Sequence[Message]) -> bool:
    """
    Whether a parked process can be told these: results of texts, no pictures, and nothing beside them. For an empty one
    the CLI has words of its own, and what a user says meanwhile becomes a remark of the system (seen).
    """
    return all(_is_plain_result(part) for message in messages for part in message.parts)


def _is_plain_result(part: Part) -> bool:
    if not isinstance(part, ToolResult):
        return False
    texts = [each.text for each in part.content if isinstance(each, Text) and not is_blank(each.text)]
    return 0 < len(texts) == len(part.content) and sum(map(_length, texts)) <= _LONGEST_RESULT


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def is_plain_answer(parts: Iterable[Part]) -> bool:
    """
    Whether the CLI remembers an answer as the model gave it. In the arguments of calls it takes a written-out escape
    such as ``\\u00e9`` for the character, which code that is to be written often has; of numbers it remembers what a
    double holds; and it has words of its own for an answer without any (seen).
    """
    return not any(
        (isinstance(part, ToolCall) and (_ESCAPE.search(part.arguments) or not keeps_numbers(part.arguments)))
        or (isinstance(part, Text) and (part.text.strip() == _NO_WORDS or is_disputed(part.text)))
        for part in parts
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
