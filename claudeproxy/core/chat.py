"""
The neutral model of a chat request: what every dialect decodes to and every backend serves.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen

__all__ = ["ChatRequest", "Effort", "Message", "Role", "TurnSettings"]


class Role(StrEnum):
    """
    Who speaks. System and developer messages become :attr:`ChatRequest.system`, so they have no role here.
    """

    USER = "user"
    ASSISTANT = "assistant"


class Effort(StrEnum):
    """
    How hard the model shall think; ``NONE`` turns thinking off.
    """

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


@frozen
class Message:
    """
    One message of the conversation.
    """

    role: Role
    text: str


@frozen
class TurnSettings:
    """
    What one turn asks for beyond its messages; it never carries over to the next.
    """

    effort: Effort | None = None
    """None leaves it to the model's default."""
    max_tokens: int | None = None
    """Upper bound of tokens to generate, thinking included."""
    stop: tuple[str, ...] = ()
    """Sequences that end the answer and are not part of it."""


@frozen
class ChatRequest:
    """
    One turn to serve.
    """

    model: str
    """The name the client asked for; answers echo it."""
    backend_model: str
    """The name the backend is to use."""
    messages: tuple[Message, ...]
    """The conversation in order; the last message is the user's."""
    system: str = ""
    """All system and developer messages, joined by a blank line."""
    settings: TurnSettings = field(factory=TurnSettings)
    tenant: str = ""
    """Whose request this is: an opaque id of the API key, never the key."""
    session_id: str | None = None
    """The session to continue, when the client named one."""
    ignored: tuple[str, ...] = ()
    """Parameters that were accepted without effect."""
