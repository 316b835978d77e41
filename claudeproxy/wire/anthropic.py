"""
Anthropic's Messages API: its content blocks, made of the neutral model, and its stream events, decoded to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from attrs import frozen

from claudeproxy.core.chat import Document, Image, Part, Text, ToolCall, ToolResult
from claudeproxy.core.events import FinishReason, ReasoningDelta, TextDelta, Usage

__all__ = ["MessageStart", "MessageStop", "TokenCounts", "content_blocks", "decode_event", "finish_reason"]


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class TokenCounts(msgspec.Struct):
    """
    The API's ``usage`` object; every field may be missing or null.
    """

    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None

    def usage(self) -> Usage:
        """
        The same in the neutral model; what is not said counts as zero.
        """
        details = self.output_tokens_details
        return Usage(
            input_tokens=self.input_tokens or 0,
            cache_read_tokens=self.cache_read_input_tokens or 0,
            cache_write_tokens=self.cache_creation_input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=(details.thinking_tokens or 0) if details is not None else 0,
        )


@frozen
class MessageStart:
    """
    A message begins; its input is counted.
    """

    usage: Usage


@frozen
class MessageStop:
    """
    The model has stopped, for a reason.
    """

    reason: str
    usage: Usage
    """Output tokens are the whole message's; input tokens may be left out."""


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    usage: TokenCounts | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None
    message: _Message | None = None
    usage: TokenCounts | None = None


class _Kind(msgspec.Struct):
    type: str = ""


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode = msgspec.json.Decoder(_Event).decode

_KINDS = frozenset({"content_block_delta", "message_start", "message_delta"})

_FINISH_REASONS = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}


def content_blocks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """
    Return the blocks that a message of these parts has.
    """
    return [_block(part) for part in parts]


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case Document(title=title):
            return {"type": "document", "source": _source(part), **({"title": title} if title else {})}
        case ToolCall(call_id=call_id, name=name, arguments=arguments):
            return {"type": "tool_use", "id": call_id, "name": name, "input": _input(arguments)}
        case ToolResult(call_id=call_id, content=content):
            return {"type": "tool_result", "tool_use_id": call_id, "content": content_blocks(content)}


def _input(arguments: str) -> Any:
    """
    Return a call's arguments as the API has them, always an object.
    """
    try:
        decoded = msgspec.json.decode(arguments or b"{}")
    except msgspec.DecodeError:
        decoded = None
    # What the model wrote wrongly it is to see as it was.
    return decoded if isinstance(decoded, dict) else {"_unparsed": arguments}


def _source(part: Image | Document) -> dict[str, Any]:
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def decode_event(event: bytes) -> TextDelta | ReasoningDelta | MessageStart | MessageStop | None:
    """
    Decode one stream event; None for one that carries nothing that is shown or counted.

    :raises msgspec.DecodeError: the bytes are not a stream event.
    """
    if _decode_kind(event).type not in _KINDS:
        return None
    decoded = _decode(event)
    delta = decoded.delta
    match decoded.type:
        case "content_block_delta" if delta is not None and delta.type == "text_delta" and delta.text:
            return TextDelta(delta.text)
        case "content_block_delta" if delta is not None and delta.type == "thinking_delta" and delta.thinking:
            return ReasoningDelta(delta.thinking)
        case "message_start" if decoded.message is not None:
            return MessageStart((decoded.message.usage or TokenCounts()).usage())
        case "message_delta" if delta is not None and delta.stop_reason is not None:
            return MessageStop(delta.stop_reason, (decoded.usage or TokenCounts()).usage())
        case _:
            return None


def finish_reason(stop_reason: str | None) -> FinishReason:
    """
    Map a ``stop_reason``; whatever is not known counts as a regular end, because clients accept no other words.
    """
    return _FINISH_REASONS.get(stop_reason or "", FinishReason.STOP)
