"""
Anthropic's Messages API: ``content`` makes its messages of the neutral model, ``events`` decodes its streams to it.
"""

from claudeproxy.wire.anthropic.content import called_functions, content_blocks, message_objects
from claudeproxy.wire.anthropic.events import (
    CallInput,
    CallStarted,
    MessageDelta,
    MessageStart,
    MessageStop,
    ModelOutput,
    Signature,
    ThoughtStarted,
    TokenCounts,
    decode_event,
    finish_reason,
)
from claudeproxy.wire.anthropic.tool_schemas import ToolSchema, tool_schema

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
    "ToolSchema",
    "called_functions",
    "content_blocks",
    "decode_event",
    "finish_reason",
    "message_objects",
    "tool_schema",
]
