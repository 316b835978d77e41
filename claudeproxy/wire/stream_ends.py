"""
How a relayed stream of events ends when its upstream breaks off: in the words of the dialect that it carries.

Each API has its own error event, and its own event or mark that says that a stream is over:

===============================  ==============================================  ======================
path                             error                                           over
===============================  ==============================================  ======================
``/chat/...``, ``/completions``  ``data: {"error": {...}}``                      ``data: [DONE]``
``/responses``                   ``event: error`` with a ``sequence_number``     ``response.completed``,
                                 that goes on from the last one, ``[DONE]``      ``.failed``, ...
``/messages``                    ``event: error``, Anthropic's form              ``message_stop``
``/threads``                     ``event: error`` with the error object, and     ``event: done``
                                 ``event: done``
any other                        ``event: error`` with the keys of all of these  ``[DONE]``, or the end
                                                                                 of an image or audio
===============================  ==============================================  ======================

The error of ``/responses`` has both shapes that are in use, OpenAI's flat one and the nested one of the Open Responses
specification (https://www.openresponses.org), because clients read one or the other.

An error event can only follow a whole event. Behind half an event it would become a part of it, so a stream that broke
there can only be cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from attrs import define, field, frozen

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.errorbody import anthropic_error, error_object, openai_error
from claudeproxy.wire.sse import DONE, data_event, named_event

__all__ = ["RelayedStream"]

_EVENT_ENDS = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n")
"""Two line ends, each of them LF, CR or CRLF."""

_TAIL = 64
"""Bytes of what has come that are looked at again with what comes next: longer than any mark."""

_BEFORE = b"\n"
"""What counts as the end of a line before the first one."""

_LINE = rb"[\r\n](?:\xef\xbb\xbf)?"
"""Where a line begins; a byte order mark may stand before the first."""
_DATA = _LINE + rb"data: {0,4}"
_NAMED = _LINE + rb'(?:event: {0,4}|data: {0,4}\{ {0,4}"type" {0,4}: {0,4}")'
"""Where the name of an event begins: in its own line, or as the first key of the data."""


@frozen
class _Dialect:
    """
    What a stream of one API ends with.
    """

    hints: tuple[bytes, ...]
    """One of these is in what the pattern finds; to look for them is faster."""
    marks: re.Pattern[bytes]
    """Finds marks: ``over`` is the end, ``failed`` an error, ``number`` the number of an event."""
    error: Callable[[ClaudeProxyError, int], bytes]
    """Makes the error event; takes the number of the last event, too."""
    done: bytes = b""
    """What follows an error event."""


@define(eq=False)
class RelayedStream:
    """
    Follows the bytes of one relayed stream, to end it properly should it break.

    :param path: the request's, below ``/v1``.
    """

    path: bytes
    _dialect: _Dialect = field(init=False)
    _tail: bytes = field(init=False, default=_BEFORE)
    _over: bool = field(init=False, default=False)
    _failed: bool = field(init=False, default=False)
    _number: int = field(init=False, default=-1)

    def __attrs_post_init__(self) -> None:
        first = self.path.partition(b"?")[0].strip(b"/").partition(b"/")[0]
        self._dialect = _DIALECTS.get(first, _ANY)

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.

        Complexity goal: O(bytes). This is the hot path, called once per chunk.
        """
        window = self._tail + data
        self._tail = window[-_TAIL:]
        dialect = self._dialect
        if any(hint in window for hint in dialect.hints):
            for mark in dialect.marks.finditer(window):
                self._over |= mark["over"] is not None
                self._failed |= mark["failed"] is not None
                if mark["number"] is not None:
                    self._number = int(mark["number"])

    @property
    def between_events(self) -> bool:
        """
        Whether a whole event, or a comment, can follow here.
        """
        return self._tail == _BEFORE or self._tail.endswith(_EVENT_ENDS)

    def last_words(self, error: ClaudeProxyError) -> bytes | None:
        """
        Return what is left to send of a stream that failed with ``error``; None where nothing can be, because the
        stream broke within an event.

        Nothing is left of a stream that had said its end, and of one that had told of an error only the end mark.
        """
        if not self.between_events:
            return None
        if self._over:
            return b""
        dialect = self._dialect
        return dialect.done if self._failed else dialect.error(error, self._number) + dialect.done


def _chat_error(error: ClaudeProxyError, number: int) -> bytes:
    return data_event(openai_error(error))


def _responses_error(error: ClaudeProxyError, number: int) -> bytes:
    told = {"type": "error", **_flat(error), "sequence_number": number + 1, "error": error_object(error)}
    return named_event("error", msgspec.json.encode(told))


def _messages_error(error: ClaudeProxyError, number: int) -> bytes:
    return named_event("error", anthropic_error(error))


def _threads_error(error: ClaudeProxyError, number: int) -> bytes:
    return named_event("error", msgspec.json.encode(error_object(error)))


def _any_error(error: ClaudeProxyError, number: int) -> bytes:
    return named_event("error", msgspec.json.encode({"type": "error", **_flat(error), "error": error_object(error)}))


def _flat(error: ClaudeProxyError) -> dict[str, object]:
    return {name: value for name, value in error_object(error).items() if name != "type"}


def _marks(over: bytes, failed: bytes) -> re.Pattern[bytes]:
    number = rb'"sequence_number": ?(?P<number>[0-9]{1,15})[,}\s]'
    return re.compile(rb"(?P<over>%b)|(?P<failed>%b)|%b" % (over, failed, number))


_CHAT = _Dialect(
    (b"[DONE]", b'"error"'),
    _marks(_DATA + rb"\[DONE\]", _DATA + rb'\{ {0,4}"error"'),
    _chat_error,
    DONE,
)
_DIALECTS = {
    b"chat": _CHAT,
    b"completions": _CHAT,
    b"responses": _Dialect(
        (b"event:", b"data:", b"sequence_number"),
        _marks(_NAMED + rb"response\.(?:completed|failed|incomplete|cancelled)\b", _NAMED + rb"error\b"),
        _responses_error,
        DONE,
    ),
    b"messages": _Dialect(
        (b"message_stop", b"error"),
        _marks(_NAMED + rb"message_stop\b", _NAMED + rb"error\b"),
        _messages_error,
    ),
    b"threads": _Dialect(
        (b"event:", b"[DONE]"),
        _marks(_LINE + rb"event: {0,4}done\b|" + _DATA + rb"\[DONE\]", _LINE + rb"event: {0,4}error\b"),
        _threads_error,
        named_event("done", b"[DONE]"),
    ),
}
_MEDIA_ENDS = rb"(?:image_generation\.completed|image_edit\.completed|speech\.audio\.done|transcript\.text\.done)\b"
"""How streams of images and audio end (OpenAI's document), which have no ``[DONE]``."""
_ANY = _Dialect(
    (b"[DONE]", b"error", b"completed", b".done"),
    _marks(_DATA + rb"\[DONE\]|" + _NAMED + _MEDIA_ENDS, _NAMED + rb"error\b"),
    _any_error,
)
