"""
Answers of Chat Completions as a stream of chunks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from claudeproxy.core.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.wire.openai_chat.answer import AnswerHead, usage_object
from claudeproxy.wire.openai_chat.think_tags import rewriting
from claudeproxy.wire.sse import DONE

__all__ = ["StreamEncoder"]

_GOES_ON = b',"logprobs":null,"finish_reason":null}]}\n\n'

_encode = msgspec.json.Encoder().encode


class StreamEncoder:
    """
    Turns the events of one answer into the chunks of one stream.

    The role goes out once, in a chunk of its own; then text, reasoning and calls of functions as they come; the finish
    reason once; the usage in a last chunk without choices, if asked for; and the end mark. After an error nothing of
    that is due: see :func:`claudeproxy.wire.errorbody.openai_error_event`.

    Everything of a chunk but its text is prepared here, for each token passes through :meth:`encode`.

    :param include_usage: whether the client asked for usage; if so, every chunk before the last says ``usage: null``.
    """

    def __init__(self, head: AnswerHead, include_usage: bool) -> None:
        self._answer = head
        self._rewritten = rewriting(head.reasoning)
        self._head = b"data: " + _encode(head.members("chat.completion.chunk"))[:-1]
        self._include_usage = include_usage
        no_usage = b',"usage":null' if include_usage else b""
        self._open = self._head + no_usage + b',"choices":[{"index":0,"delta":'
        self._text = self._open + b'{"content":'
        self._reasoning = self._open + b'{"reasoning_content":'
        self._role: bytes = self._open + b'{"role":"assistant","content":""}' + _GOES_ON
        self._call_open = False
        """Whether the last call has no arguments yet."""
        self._index = 0
        """Of the last call."""
        self._usage = Usage()

    def encode(self, event: StreamEvent) -> bytes:
        """
        Return the bytes to send for this event; none when it sends nothing by itself.
        """
        if self._rewritten is None:
            return self._encoded(event)
        return b"".join(map(self._encoded, self._rewritten(event)))

    def _encoded(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta):
            return self._opening() + self._text + _encode(event.text) + b"}" + _GOES_ON
        if isinstance(event, ReasoningDelta):
            text = _encode(event.text)
            return self._opening() + self._reasoning + text + b',"reasoning":' + text + b"}" + _GOES_ON
        if isinstance(event, UsageReport):
            self._usage = event.usage
            return b""
        if isinstance(event, Finished):
            return self._end(event)
        return self._call(event)

    def _call(self, event: ToolCallStarted | ToolCallDelta) -> bytes:
        if isinstance(event, ToolCallDelta):
            self._call_open = False
            return self._call_chunk(event.index, {"arguments": event.arguments})
        opening = self._opening(silent=True)
        before, self._call_open, self._index = self._end_of_call(), True, event.index
        function = {"name": event.name, "arguments": ""}
        return opening + before + self._call_chunk(event.index, function, id=event.call_id, type="function")

    def _end_of_call(self) -> bytes:
        """
        Return what a call without arguments still needs: clients read them as JSON.
        """
        if not self._call_open:
            return b""
        self._call_open = False
        return self._call_chunk(self._index, {"arguments": "{}"})

    def _call_chunk(self, index: int, function: dict[str, str], **call: str) -> bytes:
        if not self._answer.legacy_calls:
            return self._chunk({"tool_calls": [{"index": index, **call, "function": function}]})
        # There is no place for a second one.
        return self._chunk({"function_call": function}) if index == 0 else b""

    def _end(self, finished: Finished) -> bytes:
        refusal = b""
        if finished.refusal:
            refusal = self._opening(silent=True) + self._chunk({"refusal": finished.refusal})
        reason = _encode(self._answer.finish_reason(finished.reason))
        finish = self._open + b'{},"logprobs":null,"finish_reason":' + reason + b"}]}\n\n"
        return refusal + self._opening() + self._end_of_call() + finish + self._usage_chunk() + DONE

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._open + _encode(delta) + _GOES_ON

    def _opening(self, *, silent: bool = False) -> bytes:
        """
        Return the chunk with the role, once.

        :param silent: whether the answer begins without text, which may then be all of it; if so its content is null.
        """
        role, self._role = self._role, b""
        return role.replace(b'"content":""', b'"content":null') if silent else role

    def _usage_chunk(self) -> bytes:
        if not self._include_usage:
            return b""
        return self._head + b',"choices":[],"usage":' + _encode(usage_object(self._usage)) + b"}\n\n"
