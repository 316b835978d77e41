"""
An answer as a sequence of steps, and the player that writes them at their pace.

Whoever scripts an answer decides every byte of it and how it ends; the player adds nothing but the framing that the
answer asks for. Each step has a turn of the reactor to itself, so each write leaves in a segment of its own, and what
was written has left before a connection is reset.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http import NO_BODY_CODES, RESPONSES
from zope.interface import implementer

__all__ = ["End", "Pause", "Player", "RawAnswer", "Step", "json_bytes"]


class End(Enum):
    """
    How an answer ends.
    """

    FINISH = "finish"
    """As its framing says; the connection stays open when the framing allows it."""
    CLOSE = "close"
    """The connection is closed, whatever the framing promised."""
    ABORT = "abort"
    """The connection is reset."""
    STALL = "stall"
    """Never: nothing more comes until the client leaves."""


@frozen
class Pause:
    """
    Wait so many seconds.
    """

    seconds: float


Step = bytes | Pause | Deferred[None] | End
"""Write, wait for a time, wait for a Deferred, or end. Without an :class:`End` the answer finishes."""


@frozen
class RawAnswer:
    """
    An answer, byte by byte.
    """

    status: int | None = 200
    """None writes no head: the steps hold it, or the client gets none."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Written in this order and spelling; nothing is added but what ``chunked`` stands for."""
    steps: Iterable[Step] = ()
    chunked: bool = False
    """Frame each bytes step as a chunk of its own, and end with the last chunk. Else steps are written as they are."""
    delay: float = 0.0
    """Seconds before the head."""

    @classmethod
    def json(
        cls, value: Any, *, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (), delay: float = 0.0
    ) -> RawAnswer:
        """
        Return an answer with a JSON body and its length.
        """
        body = json_bytes(value)
        length = (b"Content-Length", b"%d" % len(body))
        return cls(status, (*headers, (b"Content-Type", b"application/json"), length), (body,), delay=delay)

    def self_delimiting(self, chunks: bool = True) -> bool:
        """
        Whether a client can tell the end without the connection's; ``chunks``: it understands chunked framing.
        """
        named = {name.lower() for name, _ in self.headers}
        by_head = bool(named & {b"content-length", b"transfer-encoding"}) or self.status in NO_BODY_CODES
        return self.status is not None and (by_head or (self.chunked and chunks))

    def play(self, *, head_only: bool = False, chunks: bool = True) -> Iterator[Step]:
        """
        Yield what is to be written and waited for; without ``chunks`` (HTTP/1.0) nothing is framed.
        """
        chunked = self.chunked and chunks
        if self.delay:
            yield Pause(self.delay)
        if self.status is not None:
            yield self._head(self.status, chunked)
        if head_only:
            return
        for step in self.steps:
            if step is End.FINISH:
                break
            yield b"%x\r\n%b\r\n" % (len(step), step) if chunked and isinstance(step, bytes) else step
        if chunked:
            yield b"0\r\n\r\n"

    def _head(self, status: int, chunked: bool) -> bytes:
        lines = [b"HTTP/1.1 %d %s" % (status, RESPONSES.get(status, b"Unknown"))]
        lines += [b"%s: %s" % header for header in self.headers]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        return b"\r\n".join([*lines, b"", b""])


def json_bytes(value: Any) -> bytes:
    """
    Encode ``value`` as the APIs do: compact, UTF-8, and escaped what UTF-8 has no form for.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


@implementer(IPushProducer)
@define(eq=False)
class Player:
    """
    Plays steps into ``write`` and says with ``ended`` how it ended; silent once stopped or when the steps stall.
    """

    _clock: IReactorTime
    _write: Callable[[bytes], None]
    _ended: Callable[[End], None]
    _steps: Iterator[Step]
    paused: bool = field(default=False, init=False)
    """Whether the client does not keep up."""
    _stopped: bool = field(default=False, init=False)
    _due: bool = field(default=False, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)

    def start(self) -> None:
        """
        Play the first step at once.
        """
        self._turn()

    def pauseProducing(self) -> None:
        """
        Hold the steps back; comes again and again while the client is slow.
        """
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Go on where the player was held.
        """
        self.paused = False
        if self._due:
            self._due = False
            self._schedule(0)

    def stopProducing(self) -> None:
        """
        Play nothing more.
        """
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, seconds: float) -> None:
        if not self._stopped:
            self._call = self._clock.callLater(seconds, self._turn)

    def _released(self, _: object) -> None:
        self._schedule(0)

    def _turn(self) -> None:
        self._call = None
        if self.paused:
            self._due = True
            return
        step = next(self._steps, End.FINISH)
        if isinstance(step, bytes):
            self._write(step)
            self._schedule(0)
        elif isinstance(step, Pause):
            self._schedule(step.seconds)
        elif isinstance(step, Deferred):
            step.addBoth(self._released)
        elif step is not End.STALL:
            self._stopped = True
            self._ended(step)
