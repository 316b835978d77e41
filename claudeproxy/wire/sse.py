"""
Server-sent events: writing them, and reading them as they come.

The format is the HTML standard's, section 9.2.5, "Parsing an event stream".
"""

from __future__ import annotations

import re

from attrs import frozen

__all__ = ["DONE", "EventDecoder", "EventTooLong", "ServerSentEvent", "comment", "data_event", "named_event"]

DONE = b"data: [DONE]\n\n"
"""The event that ends a stream of OpenAI's."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


def data_event(payload: bytes) -> bytes:
    """
    Return an event that carries ``payload``; one of several lines becomes several ``data`` fields.
    """
    return b"data: " + b"\ndata: ".join(_LINE_END.split(payload)) + b"\n\n"


def named_event(name: str, payload: bytes) -> bytes:
    """
    Return an event with a name that carries ``payload``.
    """
    return b"event: " + name.encode("ascii") + b"\n" + data_event(payload)


def comment(text: str) -> bytes:
    """
    Return a comment: every client skips it, but it shows that the stream is alive.
    """
    return b": " + b"\n: ".join(_LINE_END.split(text.encode())) + b"\n\n"


@frozen
class ServerSentEvent:
    """
    One event: its name, which is ``message`` when the stream gives none, and its data.
    """

    name: str
    data: bytes


class EventTooLong(ValueError):
    """
    One event holds more bytes than its reader allows.

    :param limit: the most bytes that the lines of an event may have together, their ends not counted.
    :param events: the whole events that came before it in the same piece.
    """

    def __init__(self, limit: int, events: list[ServerSentEvent]) -> None:
        super().__init__(f"an event is longer than {limit} bytes")
        self.limit = limit
        self.events = events


class EventDecoder:
    """
    Reads events from bytes that may be cut anywhere.

    Complexity goal: O(bytes fed). The pieces of an unfinished line wait in a list and are joined once.

    Lines end in LF, CR or CRLF, mixed at will. The fields ``id`` and ``retry`` and unknown ones are skipped: they are
    about reconnecting. An event that the stream's end cuts off is none, as the standard says.

    :param max_event: the most bytes that the lines of one event may have together, their ends not counted.
    """

    def __init__(self, max_event: int) -> None:
        self._max_event = max_event
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._collected = 0
        self._name = ""
        self._data: list[bytes] = []
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """
        Take the next bytes and return the events that they complete.

        :raises EventTooLong: when an event, finished or not, goes over the limit. Nothing may be fed after it.
        """
        if self._after_cr and data:
            # The CR at the end of the last piece ended a line already; a LF now is its other half.
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            lines = _LINE_END.split(data)
        else:
            lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._pieces:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces = []
            self._waiting = 0
        events: list[ServerSentEvent] = []
        for line in lines:
            self._line(line, events)
        if rest:
            self._pieces.append(rest)
            self._waiting += len(rest)
            self._check(self._waiting, events)
        return events

    def _line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        size = len(line)
        self._check(size, events)
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(ServerSentEvent(self._name or "message", b"\n".join(self._data)))
            self._name = ""
            self._data = []
            self._collected = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._collected += size
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")

    def _check(self, more: int, events: list[ServerSentEvent]) -> None:
        if self._collected + more > self._max_event:
            raise EventTooLong(self._max_event, events)
