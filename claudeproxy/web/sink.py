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
    :meth:`Sink.end` lets go of the producer and the timer. It is called when the answer is complete, when it failed
    and when the client left; only the first call does anything. Klein finishes the request when the handler returns.
    How a response ends that has begun and fails :meth:`Sink.broke` decides.

Departure
    That a client has left comes three ways: the connection tells its producer, the request ends its sink, and Klein
    cancels the handler, whose backend does the rest in the canceller of its Deferred.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.web.request import ProxyRequest
from claudeproxy.wire.sse import comment

__all__ = ["Sink"]

_KEEP_ALIVE = comment("keep-alive")

_STREAM_HEADERS = (
    (b"Content-Type", (b"text/event-stream; charset=utf-8",)),
    (b"Cache-Control", (b"no-cache",)),
    (b"X-Accel-Buffering", (b"no",)),
)

_LAST_WORDS = 10.0
"""Seconds for which a client may take to read what a broken stream still has to say."""


@implementer(IPushProducer)
@define(eq=False)
class _Drain:
    """
    Fires when the connection's buffer has room again.
    """

    _drained: Deferred[None]

    def pauseProducing(self) -> None:
        """
        See ``IPushProducer``.
        """

    def resumeProducing(self) -> None:
        """
        See ``IPushProducer``.
        """
        if not self._drained.called:
            self._drained.callback(None)

    def stopProducing(self) -> None:
        """
        See ``IPushProducer``: the client has left, which Klein tells the handler.
        """


@implementer(IPushProducer)
class Sink:
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
        Say what went wrong in a response that has begun, and end its body.

        Where that can be said, the body ends properly after it: returning from the handler has Klein finish it. So
        every client reads the error before the end, those that drop what they have not read when a connection breaks,
        too. Where it cannot, the connection is cut without the end of the body, so that nobody takes it for complete.
        """
        self.end()
        request = self._request
        words = self._last_words(error)
        if words is not None:
            request.write(words)
            if not request.channel.slow or await self._drained():
                return
        gone = request.departure()
        if words is None:
            request.loseConnection()
        timer = self._clock.callLater(0 if words is not None else _LAST_WORDS, request.transport.abortConnection)
        try:
            await gone
        finally:
            if timer.active():
                timer.cancel()

    async def _drained(self) -> bool:
        """
        Wait until a slow client has read what was written; return False when it takes too long.
        """
        request = self._request
        drained: Deferred[None] = Deferred()
        drained.addTimeout(_LAST_WORDS, self._clock)
        request.registerProducer(_Drain(drained), True)
        try:
            await drained
        except TimeoutError:
            return False
        finally:
            if not request.gone:
                request.unregisterProducer()
        return True

    def _last_words(self, error: ClaudeProxyError) -> bytes | None:
        """
        What a response that has begun ends with when it fails; None where nothing can be added to it.
        """
        raise NotImplementedError

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
