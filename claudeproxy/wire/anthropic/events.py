"""
Stream events of the Messages API, decoded to the neutral model.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from claudeproxy.core.events import FinishReason, ReasoningDelta, TextDelta, Usage

__all__ = [
    "CallInput",
    "CallStarted",
    "MessageDelta",
    "MessageStart",
    "MessageStop",
    "ModelOutput",
    "Signature",
    "ThoughtStarted",
    "TokenCounts",
    "decode_event",
    "finish_reason",
]


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
class MessageDelta:
    """
    The model has stopped, for a reason.
    """

    reason: str | None
    """None in the event that the CLI itself adds when it reports an API error (observed, CLI 2.1.329)."""
    usage: Usage
    """Output tokens are the whole message's; input tokens may be left out."""
    explanation: str = ""
    """Why, for people: of a refusal, if the API gives one."""


@frozen
class MessageStop:
    """
    The message has ended. Without a :class:`MessageDelta` before it the API's stream broke off, and the CLI closed the
    message by itself (observed, CLI 2.1.329).
    """


@frozen
class CallStarted:
    """
    A block begins in which the model calls a tool.
    """

    call_id: str
    name: str


@frozen
class CallInput:
    """
    A piece of a call's arguments, never empty.
    """

    text: str


@frozen
class ThoughtStarted:
    """
    A block begins in which the model thinks.
    """

    redacted: str = ""
    """All that there is of one that the API encrypted."""


@frozen
class Signature:
    """
    What the API signs a block of thinking with.
    """

    text: str


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_details: Any = None


class _Message(msgspec.Struct):
    usage: TokenCounts | None = None


class _Block(msgspec.Struct):
    type: str = ""
    id: str = ""
    name: str = ""
    data: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    content_block: _Block | None = None
    delta: _Delta | None = None
    message: _Message | None = None
    usage: TokenCounts | None = None


class _Kind(msgspec.Struct):
    type: str = ""


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode = msgspec.json.Decoder(_Event).decode

_KINDS = frozenset({"content_block_start", "content_block_delta", "message_start", "message_delta", "message_stop"})

ModelOutput = (
    TextDelta
    | ReasoningDelta
    | ThoughtStarted
    | Signature
    | CallStarted
    | CallInput
    | MessageStart
    | MessageDelta
    | MessageStop
)

_FINISH_REASONS = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.TOOL_CALLS,
}


def decode_event(event: bytes) -> ModelOutput | None:
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
        case "content_block_delta" if delta is not None and delta.type == "input_json_delta" and delta.partial_json:
            return CallInput(delta.partial_json)
        case "content_block_delta" if delta is not None and delta.type == "signature_delta":
            return Signature(delta.signature)
        case "content_block_start" if decoded.content_block is not None:
            return _begun(decoded.content_block)
        case "message_start" if decoded.message is not None:
            return MessageStart((decoded.message.usage or TokenCounts()).usage())
        case "message_delta" if delta is not None:
            usage = (decoded.usage or TokenCounts()).usage()
            return MessageDelta(delta.stop_reason, usage, _explanation(delta.stop_details))
        case "message_stop":
            return MessageStop()
        case _:
            return None


def _explanation(details: Any) -> str:
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) else ""


def _begun(block: _Block) -> ModelOutput | None:
    match block.type:
        case "tool_use":
            return CallStarted(block.id, block.name)
        case "thinking" | "redacted_thinking":
            return ThoughtStarted(block.data)
        case _:
            return None


def finish_reason(stop_reason: str | None) -> FinishReason:
    """
    Map a ``stop_reason``; whatever is not known counts as a regular end, because clients accept no other words.
    """
    return _FINISH_REASONS.get(stop_reason or "", FinishReason.STOP)
