"""
Answers of Chat Completions: a stream of chunks, or one whole body.
"""

from __future__ import annotations

from typing import Any

import msgspec

from claudeproxy.core.events import (
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.wire.sse import DONE

__all__ = ["CompletionFolder", "StreamEncoder"]

_SERVICE_TIER = "default"
_FINGERPRINT = "fp_claudeproxy"

_GOES_ON = b',"logprobs":null,"finish_reason":null}]}\n\n'

_encode = msgspec.json.Encoder().encode


class StreamEncoder:
    """
    Turns the events of one answer into the chunks of one stream.

    The role goes out once, in a chunk of its own; then text, reasoning and calls of functions as they come; the finish
    reason once; the usage in a last chunk without choices, if asked for; and the end mark. After an error nothing of
    that is due: see :func:`claudeproxy.wire.errorbody.openai_error_event`.

    Everything of a chunk but its text is prepared here, for each token passes through :meth:`encode`.

    :param created: seconds since the epoch.
    :param include_usage: whether the client asked for usage; if so, every chunk before the last says ``usage: null``.
    """

    def __init__(self, completion_id: str, model: str, created: int, include_usage: bool) -> None:
        identity = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": _SERVICE_TIER,
            "system_fingerprint": _FINGERPRINT,
        }
        self._head = b"data: " + _encode(identity)[:-1]
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
        if isinstance(event, TextDelta):
            return self._opening() + self._text + _encode(event.text) + b"}" + _GOES_ON
        if isinstance(event, ReasoningDelta):
            text = _encode(event.text)
            return self._opening() + self._reasoning + text + b',"reasoning":' + text + b"}" + _GOES_ON
        if isinstance(event, UsageReport):
            self._usage = event.usage
            return b""
        if isinstance(event, Finished):
            finish = self._open + b'{},"logprobs":null,"finish_reason":' + _encode(event.reason) + b"}]}\n\n"
            return self._opening() + self._end_of_call() + finish + self._usage_chunk() + DONE
        return self._call(event)

    def _call(self, event: ToolCallStarted | ToolCallDelta) -> bytes:
        if isinstance(event, ToolCallDelta):
            self._call_open = False
            return self._call_chunk({"index": event.index, "function": {"arguments": event.arguments}})
        # An answer that only calls has no content at all.
        opening = self._opening().replace(b'"content":""', b'"content":null')
        before, self._call_open, self._index = self._end_of_call(), True, event.index
        function = {"name": event.name, "arguments": ""}
        call = {"index": event.index, "id": event.call_id, "type": "function", "function": function}
        return opening + before + self._call_chunk(call)

    def _end_of_call(self) -> bytes:
        """
        Return what a call without arguments still needs: clients read them as JSON.
        """
        if not self._call_open:
            return b""
        self._call_open = False
        return self._call_chunk({"index": self._index, "function": {"arguments": "{}"}})

    def _call_chunk(self, call: dict[str, Any]) -> bytes:
        return self._open + b'{"tool_calls":[' + _encode(call) + b"]}" + _GOES_ON

    def _opening(self) -> bytes:
        role, self._role = self._role, b""
        return role

    def _usage_chunk(self) -> bytes:
        if not self._include_usage:
            return b""
        return self._head + b',"choices":[],"usage":' + _encode(_usage(self._usage)) + b"}\n\n"


class CompletionFolder:
    """
    Collects the events of one answer and makes the whole body of them.

    :param created: seconds since the epoch.
    """

    def __init__(self, completion_id: str, model: str, created: int) -> None:
        self._completion_id = completion_id
        self._model = model
        self._created = created
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[tuple[ToolCallStarted, list[str]]] = []
        self._usage = Usage()
        self._finish: FinishReason | None = None

    def add(self, event: StreamEvent) -> None:
        """
        Take the next event.
        """
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
        elif isinstance(event, ToolCallStarted):
            self._calls.append((event, []))
        elif isinstance(event, ToolCallDelta):
            self._calls[event.index][1].append(event.arguments)
        elif isinstance(event, UsageReport):
            self._usage = event.usage
        else:
            self._finish = event.reason

    def body(self) -> bytes:
        """
        Return the ``chat.completion`` object.

        :raises ValueError: before :class:`~claudeproxy.core.events.Finished` has come: half an answer must not pass for
            a whole one.
        """
        if self._finish is None:
            raise ValueError("the answer is not finished")
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if self._calls and not text else text,
            "refusal": None,
            "annotations": [],
        }
        if self._reasoning:
            message["reasoning_content"] = message["reasoning"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(arguments) or "{}"},
                }
                for call, arguments in self._calls
            ]
        return _encode(
            {
                "id": self._completion_id,
                "object": "chat.completion",
                "created": self._created,
                "model": self._model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}],
                "usage": _usage(self._usage),
                "service_tier": _SERVICE_TIER,
                "system_fingerprint": _FINGERPRINT,
            }
        )


def _usage(usage: Usage) -> dict[str, Any]:
    """
    Return OpenAI's usage object: the prompt holds what the cache gave and took, the completion holds the reasoning.

    Beside OpenAI's names stand Anthropic's two for the cache, which some clients read.
    """
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }
