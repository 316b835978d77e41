"""
What the model thought before it called functions, for conversations that come back without it.

The API wants it with the results of the calls. A process that waits for them knows it; but it may be gone by then, and
no client of Chat Completions can send it.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from claudeproxy.core.chat import Message, Role, Text, Thinking, ToolCall
from claudeproxy.core.sessions import message_size

__all__ = ["Thoughts"]

_MOST_BYTES = 16 * 1024 * 1024
"""Of all answers that are kept; the oldest make room."""

_Key = tuple[str, str, str]
"""Tenant, model, and the id of the answer's first call."""


@define
class Thoughts:
    """
    The last answers that called functions after some thought.
    """

    _kept: dict[_Key, tuple[Message, int]] = field(init=False, factory=dict)
    _bytes: int = field(init=False, default=0)

    def keep(self, tenant: str, model: str, answer: Message) -> None:
        """
        Remember an answer, if there is anything in it that the client does not know.
        """
        call_id = _first_call(answer)
        if call_id is None or not any(isinstance(part, Thinking) for part in answer.parts):
            return
        self._forget((tenant, model, call_id))
        size = message_size(answer)
        self._kept[tenant, model, call_id] = answer, size
        self._bytes += size
        while self._bytes > _MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def restored(self, tenant: str, model: str, messages: Sequence[Message]) -> tuple[Message, ...]:
        """
        Return a conversation with what was thought since the user's last words, as far as it is known.
        """
        told = list(messages)
        for index in range(len(told) - 1, -1, -1):
            message = told[index]
            if message.role is Role.USER and any(isinstance(part, Text) for part in message.parts):
                break
            call_id = _first_call(message)
            kept = None if call_id is None else self._kept.get((tenant, model, call_id))
            if kept is not None and kept[0].digest == message.digest:
                told[index] = kept[0]
        return tuple(told)

    def _forget(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept[1]


def _first_call(message: Message) -> str | None:
    return next((part.call_id for part in message.parts if isinstance(part, ToolCall)), None)
