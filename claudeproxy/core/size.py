"""
How long a conversation may be, where an operator has said so.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from claudeproxy.core.chat import Document, Message, Part, Text, ToolCall, ToolResult
from claudeproxy.core.media import PLAIN_TEXT
from claudeproxy.errors import NotTakenHere

__all__ = ["ConversationSize"]


@frozen
class ConversationSize:
    """
    The largest conversation; 0 is no limit.
    """

    messages: int = 0
    characters: int = 0
    """Of texts, files of text, calls of functions and what these return; pictures and PDFs count nothing."""

    def check(self, messages: Sequence[Message], system: str = "") -> None:
        """
        Let a conversation pass.

        :raises NotTakenHere: it is too long.
        """
        if 0 < self.messages < len(messages):
            raise NotTakenHere(
                f"The conversation has {len(messages)} messages, and no more than {self.messages} are allowed.",
                param="messages",
            )
        if self.characters:
            length = len(system) + sum(_length(part) for message in messages for part in message.parts)
            if length > self.characters:
                raise NotTakenHere(
                    f"The conversation has {length} characters, and no more than {self.characters} are allowed.",
                    param="messages",
                )


def _length(part: Part) -> int:
    match part:
        case Text(text=text):
            return len(text)
        case ToolCall(arguments=arguments):
            return len(arguments)
        case Document(media_type=media_type, data=data) if media_type == PLAIN_TEXT:
            return len(data) // 4 * 3
        case ToolResult(content=content):
            return sum(map(_length, content))
        case _:
            return 0
