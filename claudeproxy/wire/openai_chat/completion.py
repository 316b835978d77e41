"""
Answers of Chat Completions as one body.
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

__all__ = ["CompletionFolder"]


class CompletionFolder:
    """
    Collects the events of one answer and makes the whole body of them.
    """

    def __init__(self, head: AnswerHead) -> None:
        self._head = head
        self._rewritten = rewriting(head.reasoning)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[tuple[ToolCallStarted, list[str]]] = []
        self._usage = Usage()
        self._finish: Finished | None = None

    def add(self, event: StreamEvent) -> None:
        """
        Take the next event.
        """
        for each in (event,) if self._rewritten is None else self._rewritten(event):
            self._add(each)

    def _add(self, event: StreamEvent) -> None:
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
            self._finish = event

    def body(self) -> bytes:
        """
        Return the ``chat.completion`` object.

        :raises ValueError: before :class:`~claudeproxy.core.events.Finished` has come: half an answer must not pass for
            a whole one.
        """
        if self._finish is None:
            raise ValueError("the answer is not finished")
        choice = {
            "index": 0,
            "message": self._message(self._finish.refusal or None),
            "logprobs": None,
            "finish_reason": self._head.finish_reason(self._finish.reason),
        }
        members = self._head.members("chat.completion")
        return msgspec.json.encode({**members, "choices": [choice], "usage": usage_object(self._usage)})

    def _message(self, refusal: str | None) -> dict[str, Any]:
        text = "".join(self._text)
        # An answer that only calls, or only refuses, has no content at all.
        content = None if not text and (self._calls or refusal) else text
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
        if self._reasoning:
            message["reasoning_content"] = message["reasoning"] = "".join(self._reasoning)
        calls = [
            (call.call_id, {"name": call.name, "arguments": "".join(arguments) or "{}"})
            for call, arguments in self._calls
        ]
        if calls and self._head.legacy_calls:
            # There is no place for a second one.
            message["function_call"] = calls[0][1]
        elif calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": function} for call_id, function in calls
            ]
        return message
