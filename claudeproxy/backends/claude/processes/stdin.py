"""
Writing to a child's stdin no faster than it reads.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

__all__ = ["Consumer", "StdinFeeder"]

_SLICE = 65536


class Consumer(Protocol):
    """
    The part of ``IConsumer`` that process transports have without declaring it.
    """

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


@implementer(IPushProducer)
@define(eq=False)
class StdinFeeder:
    """
    The push producer of a process's stdin: lines go out whole and in order, in slices while the child keeps up.

    A user's message may be 32 MiB long. Written at once it would be copied into the transport's buffer and again for
    each partial write; so it stays where it is, and slices of it follow one another.
    """

    _consumer: Consumer
    _queue: deque[memoryview] = field(init=False, factory=deque)
    _paused: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)

    def start(self) -> None:
        """
        Become the consumer's producer.
        """
        self._consumer.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """
        Send ``data`` after all that was sent before; ignored once stdin is closed.
        """
        if self._closed:
            return
        self._queue.append(memoryview(data))
        self._flush()

    def close(self) -> None:
        """
        Send nothing more. What the transport already holds still goes out.
        """
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._consumer.unregisterProducer()

    def pauseProducing(self) -> None:
        """See ``IPushProducer``."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See ``IPushProducer``."""
        self._paused = False
        self._flush()

    def stopProducing(self) -> None:
        """See ``IPushProducer``: the child closed its stdin."""
        self._closed = True
        self._queue.clear()

    def _flush(self) -> None:
        while self._queue and not self._paused:
            view = self._queue.popleft()
            if len(view) > _SLICE:
                self._queue.appendleft(view[_SLICE:])
            self._consumer.write(bytes(view[:_SLICE]))
