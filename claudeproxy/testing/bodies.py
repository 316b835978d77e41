"""
As much of a request's form as the stubs rely on. What does not have it is refused, as the APIs refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["ChatBody", "MessagesBody", "blocks_of", "misread"]


class _Block(Struct):
    type: str
    text: str = ""
    content: str | list[_Block] | None = None


class _Message(Struct):
    role: str
    content: str | list[_Block] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class ChatBody(Struct):
    """
    A request for a chat completion.
    """

    messages: list[_Message]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class _Tool(Struct):
    name: str
    input_schema: dict[str, Any] | None = None


class _ToolChoice(Struct):
    type: str
    name: str | None = None


class _Format(Struct):
    schema: dict[str, Any] | None = None


class _OutputConfig(Struct):
    format: _Format | None = None


class MessagesBody(Struct):
    """
    A request for a message, or for the count of its tokens.
    """

    messages: list[_Message]
    model: str = ""
    max_tokens: int | None = None
    output_config: _OutputConfig | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    system: str | list[_Block] | None = None
    tool_choice: _ToolChoice | None = None
    tools: list[_Tool] | None = None


def blocks_of(content: Any) -> Sequence[Mapping[str, Any]]:
    """
    Return the blocks of a content; a text is one.
    """
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def misread(body: Any, kind: type[Struct]) -> str | None:
    """
    Return what is wrong with the form of a decoded body; None when nothing is.
    """
    try:
        msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        return str(error)
    except UnicodeEncodeError:
        return "The body holds text that is not Unicode."
    return None
