"""
What the model thought as a part of the text, between tags, for clients that look for it there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from claudeproxy.core.chat import Message, Part, Role, Text
from claudeproxy.core.events import ReasoningDelta, StreamEvent, TextDelta
from claudeproxy.core.reasoning import Reasoning

__all__ = ["rewriting", "without_thoughts"]

_OPENING = "<think>\n"
_CLOSING = "\n</think>\n\n"
_THOUGHT = re.compile(r"<think>\n.*?\n</think>(?:\n\n|\n?\Z)", re.DOTALL)
"""One of ours. A client may have cut the blanks off the end of a message."""


def rewriting(reasoning: Reasoning) -> Callable[[StreamEvent], Iterable[StreamEvent]] | None:
    """
    Return what makes the events of one answer those of an answer with the reasoning in its place; None where they are.
    """
    match reasoning:
        case Reasoning.CONTENT:
            return None
        case Reasoning.THINK_TAGS:
            return _Tags().rewritten
        case Reasoning.OFF:
            return _without_reasoning


def without_thoughts(messages: Iterable[Message]) -> tuple[Message, ...]:
    """
    Return a conversation without what answers with think tags brought into it: the model gets its own text back, and
    the conversation is recognised by it.
    """
    return tuple(
        Message(message.role, map(_without_thought, message.parts)) if message.role is Role.ASSISTANT else message
        for message in messages
    )


def _without_thought(part: Part) -> Part:
    return Text(_THOUGHT.sub("", part.text)) if isinstance(part, Text) and _OPENING in part.text else part


def _without_reasoning(event: StreamEvent) -> Iterable[StreamEvent]:
    return () if isinstance(event, ReasoningDelta) else (event,)


class _Tags:
    """
    Puts one pair of tags around each stretch of reasoning, whatever ends it.
    """

    def __init__(self) -> None:
        self._open = False

    def rewritten(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """
        Return the events in the place of this one.
        """
        if isinstance(event, ReasoningDelta):
            text = event.text if self._open else _OPENING + event.text
            self._open = True
            return (TextDelta(text),)
        if not self._open:
            return (event,)
        self._open = False
        if isinstance(event, TextDelta):
            return (TextDelta(_CLOSING + event.text),)
        return (TextDelta(_CLOSING), event)
