"""
The neutral model of a chat request: what every dialect decodes to and every backend serves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any

from attrs import evolve, field, frozen

from claudeproxy.core.digests import digest_of
from claudeproxy.core.tools import Tool, ToolChoice

__all__ = [
    "AnswerFormat",
    "ChatRequest",
    "Document",
    "Effort",
    "Image",
    "ImageLink",
    "Message",
    "Part",
    "Role",
    "Text",
    "Thinking",
    "ToolCall",
    "ToolResult",
    "TurnSettings",
]


class Role(StrEnum):
    """
    Who speaks. The system and developer messages that a conversation begins with are :attr:`ChatRequest.system`; those
    that come later keep their places.
    """

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


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
class Text:
    """
    Words.
    """

    text: str


@frozen
class Image:
    """
    A picture.
    """

    media_type: str
    """For example ``image/png``."""
    data: str = field(repr=False)
    """In base64."""


@frozen
class ImageLink:
    """
    A picture that the client has only said where it is. A backend that cannot send links gets the picture instead; see
    :mod:`claudeproxy.core.links`.
    """

    url: str
    """Beginning with ``http:`` or ``https:``; no more is known of it."""
    param: str = field(default="", eq=False)
    """Where in the request it stands, to be named in errors."""


@frozen
class Document:
    """
    A file to be read.
    """

    media_type: str
    """``application/pdf`` or ``text/plain``."""
    data: str = field(repr=False)
    """In base64."""
    title: str = ""
    """Its name; empty when it has none."""


@frozen
class ToolCall:
    """
    The model calls a function; part of an assistant's message.
    """

    call_id: str
    """Unique in the conversation; the result names it."""
    name: str
    arguments: str
    """The text that the model wrote: a JSON object, unless it made a mistake."""


@frozen
class ToolResult:
    """
    What a function returned; part of a user's message.
    """

    call_id: str
    content: tuple[Text | Image | ImageLink | Document, ...] = ()
    by_name: bool = False
    """Whether the id is the name of the function, since the client knows no other."""


@frozen
class Thinking:
    """
    What the model thought before it called functions; part of an assistant's message, and nothing that a client knows.

    The API wants it back, signed as it was, with the results of the calls.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""
    """In the place of the two others: what the API encrypted."""
    place: str = ""
    """What stands for all that the model was told before it; newer models take it back at no other place."""


Part = Text | Image | ImageLink | Document | ToolCall | ToolResult | Thinking
"""What a message is made of."""


def _parts(content: str | Iterable[Part]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),) if content else ()
    return tuple(content)


def _worded(parts: Iterable[Any]) -> tuple[Any, ...]:
    """
    Leave out texts that say nothing, in results of functions as well.
    """
    return tuple(
        _worded_result(part) if isinstance(part, ToolResult) else part
        for part in parts
        if not isinstance(part, Text) or part.text.strip()
    )


def _worded_result(result: ToolResult) -> ToolResult:
    content = _worded(result.content)
    return result if content == result.content else evolve(result, content=content)


@frozen
class Message:
    """
    One message of the conversation.
    """

    role: Role
    parts: tuple[Part, ...] = field(converter=_parts)
    """In their order; a string is one text."""

    @property
    def worded(self) -> Message | None:
        """
        The message without texts that say nothing, which the API refuses and the CLI replaces; None if nothing is left.
        """
        parts = _worded(self.parts)
        if not parts:
            return None
        # The same one where it can be: it knows its digest.
        return self if parts == self.parts else Message(self.role, parts)

    @property
    def shown(self) -> Message:
        """
        The message as a client knows it: without what the model thought.
        """
        parts = tuple(part for part in self.parts if not isinstance(part, Thinking))
        return self if len(parts) == len(self.parts) else Message(self.role, parts)

    @cached_property
    def digest(self) -> bytes:
        """
        What is equal only for messages that are the same to a client; of always the same length.
        """
        return digest_of((self.role, *_told(self.shown.parts)))


def _told(parts: Sequence[Part]) -> Iterator[str]:
    """
    Return what a message says; the number of its parts comes first, so that none passes for another message's.
    """
    yield str(len(parts))
    for part in parts:
        match part:
            case Text(text=text):
                yield from ("text", text)
            case Image(media_type=media_type, data=data):
                yield from ("image", media_type, data)
            case ImageLink(url=url):
                yield from ("link", url)
            case Document(media_type=media_type, data=data, title=title):
                yield from ("document", media_type, data, title)
            case ToolCall(call_id=call_id, name=name, arguments=arguments):
                yield from ("call", call_id, name, _canonical(arguments))
            case ToolResult(call_id=call_id, content=content):
                yield from ("result", call_id)
                yield from _told(content)
            case Thinking():
                pass


def _canonical(arguments: str) -> str:
    """
    Return a call's arguments as one text for all that mean the same: many clients read them and write them anew.
    """
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


@frozen
class AnswerFormat:
    """
    The JSON object that the answer's text has to be.
    """

    schema: Mapping[str, Any] | None = None
    """JSON Schema of the object; None for any object."""
    name: str = "answer"
    description: str = ""


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
    tool_choice: ToolChoice = field(factory=ToolChoice)
    format: AnswerFormat | None = None
    """None leaves the answer free."""
    temperature: float | None = None
    """0 to 2."""
    top_p: float | None = None
    """0 to 1."""
    show_reasoning: bool = True
    """Whether the model is asked to show what it thinks; else it may think unseen."""

    @property
    def text_format(self) -> AnswerFormat | None:
        """
        The form of the answer's text; an answer that must call a function has no text.
        """
        return None if self.tool_choice.forced else self.format


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
    """The conversation in order. If the last message is the assistant's, it is the beginning of the answer."""
    system: str = ""
    """The system and developer messages that the conversation begins with, joined by a blank line."""
    tools: tuple[Tool, ...] = ()
    """The functions that the model may call."""
    settings: TurnSettings = field(factory=TurnSettings)
    tenant: str = ""
    """Whose request this is: an opaque id of the API key, never the key."""
    session_id: str | None = None
    """The session to continue, when the client named one."""
    ignored: tuple[str, ...] = ()
    """Parameters that were accepted without effect."""
