"""
What the model thought as a part of the text, between tags, for clients that look for it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from claudeproxy.core.chat import Message, Part, Role, Text
from claudeproxy.core.events import ReasoningDelta, StreamEvent, TextDelta
from claudeproxy.core.reasoning import Reasoning

__all__ = ["rewriting", "without_thoughts"]

_OPENING = "<think>\n"
_CLOSING = "\n</think>\n\n"
_CUT_CLOSINGS = (_CLOSING.removesuffix("\n"), _CLOSING.removesuffix("\n\n"))
"""At the end of a message, whose blanks a client may have cut off."""


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
    return Text("".join(_stretches(part.text))) if isinstance(part, Text) and _OPENING in part.text else part


def _stretches(text: str) -> Iterator[str]:
    """
    Yield what is outside of our tags. No character is looked at for each opening anew: a client may send a great many.
    """
    start = 0
    while (opening := text.find(_OPENING, start)) >= 0:
        thought = opening + len(_OPENING)
        closing = text.find(_CLOSING, thought)
        if closing < 0:
            # Nor is there one for any opening that follows.
            if text.endswith(_CUT_CLOSINGS, thought):
                yield text[start:opening]
                return
            break
        yield text[start:opening]
        start = closing + len(_CLOSING)
    yield text[start:]


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
