"""
Where answers leave: the only place that streams to a client.

Flow control
    A sink is the request's push producer and hands on to the backend's producer what the connection says: pause while
    the client is slow, resume, stop when it is gone. The connection repeats a pause with every write while its buffer
    is full; a sink hands on only the first. A sink never buffers: what is written to it is written to the connection.

The head of the answer
    Nothing is sent before there is something to say, so that a failure can still have its own status. A stream that
    stays silent after its backend has taken the request gets its head with the first keep-alive comment.

The end
    :meth:`_Sink.end` lets go of the producer and the timer. It is called when the answer is complete, when it failed
    and when the client left; only the first call does anything. Klein finishes the request when the handler returns. A
    failure in an answer that has begun must not look like an end: see :meth:`_Sink.broke`.

Departure
    That a client has left comes three ways: the connection tells its producer, the request ends its sink, and Klein
    cancels the handler, whose backend does the rest in the canceller of its Deferred.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from claudeproxy.core.events import StreamEvent, TurnHead, UsageReport
from claudeproxy.errors import BackendError, ClaudeProxyError
from claudeproxy.interfaces import IByteSink, IEventSink
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.turn_headers import announce
from claudeproxy.wire.errorbody import openai_error_event
from claudeproxy.wire.sse import comment

__all__ = ["ByteSink", "EventSink", "FoldingSink"]

_KEEP_ALIVE = comment("keep-alive")

_STREAM_HEADERS = (
    (b"Content-Type", (b"text/event-stream; charset=utf-8",)),
    (b"Cache-Control", (b"no-cache",)),
    (b"X-Accel-Buffering", (b"no",)),
)

_LAST_WORDS = 10.0
"""Seconds for which a client may take to read what a broken stream still has to say."""

_READ_BY_US = frozenset({b"content-length", b"cache-control"})
"""Headers that decide how the rest of an answer is written."""

_OPENAI_LIMITS = b"x-ratelimit-"
"""How the names begin in which an upstream tells its limits. A client that reads them is to know the upstream's."""

_EVENT_ENDS = (b"\n\n", b"\n\r\n", b"\r\n\r\n", b"\r\r")
_LONGEST_END = 4


class Encoder(Protocol):
    """
    Turns the events of one answer into the bytes of one dialect's stream.
    """

    def encode(self, event: StreamEvent) -> bytes:
        """
        Return what to send for ``event``; often nothing.
        """


class Folder(Protocol):
    """
    Collects the events of one answer into one dialect's body.
    """

    def add(self, event: StreamEvent) -> None:
        """
        Take the next event.
        """


@implementer(IPushProducer)
class _Sink:
    """
    A stream to one client.
    """

    def __init__(self, request: ProxyRequest, clock: IReactorTime, keepalive_interval: float) -> None:
        """
        :param keepalive_interval: seconds of silence after which a stream of events gets a comment.
        """
        self._request = request
        self._recording = request.recording
        self._clock = clock
        self._interval = keepalive_interval
        self._seconds = clock.seconds
        self._last = 0.0
        self._timer: IDelayedCall | None = None
        self._producer: IPushProducer | None = None
        self._paused = False
        request.stream = self

    # -- IFlow ----------------------------------------------------------------

    def flow_from(self, producer: IPushProducer) -> None:
        """
        See ``IFlow``.
        """
        if self._request.gone:
            producer.stopProducing()
            return
        self._producer = producer
        self._request.registerProducer(self, True)

    def flow_ended(self) -> None:
        """
        See ``IFlow``.
        """
        if self._producer is not None:
            self._producer = None
            # The connection forgets as well, and says so again to the next one.
            self._paused = False
            if not self._request.gone:
                self._request.unregisterProducer()

    # -- IPushProducer, called by the connection ------------------------------

    def pauseProducing(self) -> None:
        """
        The client is slow.
        """
        if not self._paused and self._producer is not None:
            self._paused = True
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The client has caught up.
        """
        if self._paused:
            self._paused = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        The client is gone.
        """
        self._request.gone = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    # -- The end --------------------------------------------------------------

    def end(self) -> None:
        """
        Let go of the producer and the timer. Harmless when said twice.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        self.flow_ended()

    async def broke(self, error: ClaudeProxyError) -> None:
        """
        Say what went wrong in an answer that has begun, and end the connection so that nobody takes it for complete.

        Returning from the handler would make Klein finish the answer, with the chunk that says it was whole. So this
        waits until the connection is gone, and cuts off a client that does not read.
        """
        self.end()
        request = self._request
        gone = request.departure()
        words = self._last_words(error)
        if words:
            request.write(words)
        request.loseConnection()
        timer = self._clock.callLater(_LAST_WORDS, request.transport.abortConnection)
        try:
            await gone
        finally:
            if timer.active():
                timer.cancel()

    def _last_words(self, error: ClaudeProxyError) -> bytes:
        """
        What an answer that has begun ends with when it fails.
        """
        return openai_error_event(error)

    # -- Writing --------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        """
        Write ``data`` in one piece, with the head before it when it is the first.
        """
        request = self._request
        if request.gone:
            return
        if not request.startedWriting:
            self._set_head()
        self._last = self._seconds()
        if self._recording is not None and data is not _KEEP_ALIVE:
            self._recording.record(data)
        request.write(data)

    def _set_head(self) -> None:
        """
        Set status and headers; called once, before the first byte.
        """
        for name, values in _STREAM_HEADERS:
            self._request.responseHeaders.setRawHeaders(name, values)

    # -- Keep-alive -----------------------------------------------------------

    def _keep_alive(self) -> None:
        """
        Begin to watch for silence.

        Nothing is scheduled per event: an event leaves its time, and the one timer looks at it when it fires.
        """
        self._last = self._seconds()
        self._timer = self._clock.callLater(self._interval, self._check_silence)

    def _check_silence(self) -> None:
        left = self._last + self._interval - self._seconds()
        if left <= 0:
            left = self._interval
            if not self._paused and self._between_events():
                self._write(_KEEP_ALIVE)
        self._timer = self._clock.callLater(left, self._check_silence)

    def _between_events(self) -> bool:
        """
        Whether a comment can stand here.
        """
        return True


@implementer(IEventSink)
class EventSink(_Sink):
    """
    Streams the events of a chat backend in one dialect.
    """

    def __init__(self, request: ProxyRequest, encoder: Encoder, clock: IReactorTime, keepalive_interval: float) -> None:
        super().__init__(request, clock, keepalive_interval)
        self._encode = encoder.encode

    def started(self, head: TurnHead) -> None:
        """
        See ``IEventSink``.
        """
        announce(self._request, head)
        if not self._request.gone:
            self._keep_alive()

    def event(self, event: StreamEvent) -> None:
        """
        See ``IEventSink``.
        """
        if type(event) is UsageReport:
            self._request.usage = event.usage
        data = self._encode(event)
        if data:
            self._write(data)


@implementer(IByteSink)
class ByteSink(_Sink):
    """
    Relays an upstream's answer as it comes.

    Comments, and the error event of an answer that breaks off, are put into streams of events only.
    """

    def __init__(self, request: ProxyRequest, clock: IReactorTime, keepalive_interval: float) -> None:
        super().__init__(request, clock, keepalive_interval)
        self._status = 200
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        self._is_event_stream = False
        self._tail = b""

    @property
    def begun(self) -> bool:
        """
        See ``IByteSink``.
        """
        return bool(self._request.startedWriting)

    def trying(self) -> None:
        """
        See ``IByteSink``.
        """
        self._request.attempts += 1

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """
        See ``IByteSink``.
        """
        self._status, self._headers = status, headers
        self._is_event_stream = _is_event_stream(headers)
        if self._is_event_stream and not self._request.gone:
            self._keep_alive()
            self._write(b"")

    def raw(self, data: bytes) -> None:
        """
        See ``IByteSink``.
        """
        if self._is_event_stream:
            self._tail = data if len(data) >= _LONGEST_END else self._tail[-_LONGEST_END:] + data
        self._write(data)

    def complete(self) -> None:
        """
        The whole answer has been written. One without a body has a head all the same.
        """
        self.end()
        if not (self._request.startedWriting or self._request.gone):
            self._set_head()

    def _set_head(self) -> None:
        # The upstream's headers keep its spelling, and skip Twisted's bookkeeping of names.
        request = self._request
        request.setResponseCode(self._status)
        request.relayed_headers = self._headers
        lines = []
        for name, value in self._headers:
            lowered = name.lower()
            if lowered in _READ_BY_US:
                request.responseHeaders.setRawHeaders(name, (value,))
            else:
                if lowered.startswith(_OPENAI_LIMITS):
                    request.openai_limit_lines = b""
                lines.append(b"%b: %b\r\n" % (name, value))
        block = b"".join(lines)
        if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines):
            raise BackendError("The upstream's answer has a header with a line break in it.")
        request.head_lines += block

    def _between_events(self) -> bool:
        return not self._tail or self._tail.endswith(_EVENT_ENDS)

    def _last_words(self, error: ClaudeProxyError) -> bytes:
        if not self._is_event_stream:
            return b""
        words = openai_error_event(error)
        return words if self._between_events() else b"\n\n" + words


@implementer(IEventSink)
class FoldingSink:
    """
    Collects the events of a chat backend; the answer is sent in one piece when the turn is over.
    """

    def __init__(self, request: ProxyRequest, folder: Folder) -> None:
        self._request = request
        self._folder = folder

    def flow_from(self, producer: IPushProducer) -> None:
        """
        Memory is never slow; how much is collected the backend's cap says.
        """

    def flow_ended(self) -> None:
        """
        See ``IFlow``.
        """

    def started(self, head: TurnHead) -> None:
        """
        See ``IEventSink``.
        """
        announce(self._request, head)

    def event(self, event: StreamEvent) -> None:
        """
        See ``IEventSink``.
        """
        if type(event) is UsageReport:
            self._request.usage = event.usage
        self._folder.add(event)


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """
    Whether a body is a stream of events that something can be put into.
    """
    named = {name.lower(): value.lower() for name, value in headers}
    return named.get(b"content-type", b"").startswith(b"text/event-stream") and b"content-encoding" not in named
