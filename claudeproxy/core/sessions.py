"""
A session: one tenant's conversation under an id that the client can come back with.
"""

from __future__ import annotations

from functools import cached_property
from sys import getsizeof

from attrs import frozen

from claudeproxy.core.chat import (
    Document,
    Image,
    ImageLink,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from claudeproxy.core.history import history_digest
from claudeproxy.core.tools import Tool

__all__ = ["Session", "message_size"]


@frozen
class Session:
    """
    A conversation as it stands after its last complete turn.
    """

    session_id: str
    """A version 4 UUID."""
    tenant: str
    model: str
    """The backend's name of the model that the last turn used."""
    system: str
    tools: tuple[Tool, ...]
    """The functions that the model may call."""
    messages: tuple[Message, ...]
    created: float
    """Seconds on the clock of the daemon."""
    touched: float
    """When its last turn ended."""

    @cached_property
    def size(self) -> int:
        """
        Bytes of memory that the conversation takes, near enough for a bound; without its functions, which are many
        sessions' own.
        """
        return getsizeof(self.system) + sum(map(message_size, self.messages)) + 500

    @cached_property
    def digest(self) -> bytes:
        """
        What a request's history must match to continue it without naming it.
        """
        return history_digest(self.tenant, self.model, self.system, self.tools, self.messages)


def message_size(message: Message) -> int:
    """
    Return the bytes of memory that a message takes, near enough for a bound.
    """
    return 100 + sum(map(_part_size, message.parts))


def _part_size(part: Part) -> int:
    match part:
        case Text(text=text):
            return 100 + getsizeof(text)
        case ToolCall(arguments=arguments):
            return 300 + getsizeof(arguments)
        case ToolResult(content=content):
            return 200 + sum(map(_part_size, content))
        case Image(data=data) | Document(data=data) | ImageLink(url=data):
            return 200 + getsizeof(data)
        case Thinking(text=text, signature=signature, redacted=redacted):
            return 200 + getsizeof(text) + getsizeof(signature) + getsizeof(redacted)
