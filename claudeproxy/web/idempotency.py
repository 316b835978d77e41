"""
``Idempotency-Key``: a request that is repeated is answered once more, and not done once more.

The first request under a key runs as any other, and a copy of what it is answered is recorded on the way. Only a whole
and successful answer is kept. After anything else, an error, an answer that broke off, a client that left, the key is
free, so that the repeat does what it is for. A repeat while the first runs is refused; one with another request is
refused for as long as the key is not free.

A request without the header comes past here with one look at its headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from claudeproxy.core.idempotency import KeptAnswer, fingerprint, read_key
from claudeproxy.interfaces import IByteSink
from claudeproxy.ops.drain import Drain
from claudeproxy.ops.time_limits import IdleTimer, TimeLimits
from claudeproxy.store.answers import AnswerStore, Run
from claudeproxy.web.byte_sink import ByteSink
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.routes import Handler
from claudeproxy.wire.openai_outcome import is_success

__all__ = ["Idempotency"]

_HEADER = b"Idempotency-Key"
_REPLAYED = (b"Idempotent-Replayed", b"true")

_WRITTEN_ANEW = frozenset({b"connection", b"content-length", b"idempotent-replayed", b"transfer-encoding"})
"""Headers that say how one answer was sent."""
_LIMITS = b"x-ratelimit-"
"""How the names begin of those that tell how things stood for one request."""

_PIECE = 64 * 1024
"""Bytes that are written at a time; what a connection buffers before it says that its client is slow."""


@frozen
class Idempotency:
    """
    Knows the answers that are kept.
    """

    _log = Logger()

    _store: AnswerStore
    _drain: Drain
    _clock: IReactorTime
    _keepalive_interval: float
    _limits: TimeLimits
    """Of a client that is given an answer again."""

    def guard(self, route: str, handler: Handler) -> Handler:
        """
        Return a handler that heeds the header.

        :param route: the path that ``handler`` serves; a key of one is none of another.
        """
        if not self._store.max_bytes:
            return handler
        prefix = route.encode("ascii") + b" "

        def serve(request: ProxyRequest) -> Awaitable[bytes | None]:
            values = request.headers(_HEADER)
            return self._serve(request, prefix + read_key(values), handler) if values else handler(request)

        return serve

    async def _serve(self, request: ProxyRequest, key: bytes, handler: Handler) -> bytes | None:
        body = request.content.read()
        request.content.seek(0)
        asked = fingerprint(request.relayed_path, request.requestHeaders.getAllRawHeaders(), body)
        found = self._store.claim(request.key.key_id, key, asked)
        if isinstance(found, KeptAnswer):
            await self._replay(request, found)
            return None
        request.recording = found
        try:
            answer = await handler(request)
            if answer is not None:
                found.record(answer)
            self._keep(request, found)
            return answer
        finally:
            found.release()

    def _keep(self, request: ProxyRequest, run: Run) -> None:
        """
        Keep the answer that a request has now been given, if it is one to be given again. What its client was no longer
        there for was not recorded, and then the answer is not whole.
        """
        if not 200 <= request.code < 300:
            return
        body, headers = run.body, _headers(request)
        if body is not None:
            if not is_success(_media_type(headers), body):
                return
            who = (request.backend, request.upstream, request.attempts, request.model)
            if run.keep(KeptAnswer(request.code, headers, body, *who)):
                return
        self._log.info(
            "There was no room to keep an answer for its Idempotency-Key (IDEMPOTENCY_MAX_BYTES).",
            request_id=request.request_id.decode(),
        )

    async def _replay(self, request: ProxyRequest, kept: KeptAnswer) -> None:
        request.replayed = True
        request.backend, request.upstream, request.attempts = kept.backend, kept.upstream, kept.attempts
        request.model = kept.model
        sink = ByteSink(request, self._clock, self._keepalive_interval)
        headers = [*kept.headers, _REPLAYED]
        if not _media_type(headers).startswith(b"text/event-stream"):
            headers.append((b"Content-Length", b"%d" % len(kept.body)))
        sink.head(kept.status, headers)
        timer = IdleTimer(self._clock, self._limits)
        body = _KeptBody(kept.body, sink, timer.touch)
        body.begin()
        await timer.bound(self._drain.track(body.over), "The client's reading of a response that was there at once")
        sink.complete()


@implementer(IPushProducer)
@define(eq=False)
class _KeptBody:
    """
    A body on its way to a client that may be slow: no more of it waits in the connection than is written at a time.
    """

    _body: bytes
    _sink: IByteSink
    _progress: Callable[[], None]
    """Called when the client has read what was written."""
    over: Deferred[None] = field(init=False, factory=Deferred)
    """Fires when all is written. When the client leaves, whoever waits for it is cancelled."""
    _written: int = field(init=False, default=0)
    _paused: bool = field(init=False, default=False)

    def begin(self) -> None:
        """
        Write as much as the client takes.
        """
        self._sink.flow_from(self)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._progress()
        while not self._paused and self._written < len(self._body):
            piece = self._body[self._written : self._written + _PIECE]
            self._written += len(piece)
            self._sink.raw(piece)
        if self._written == len(self._body) and not self.over.called:
            self._sink.flow_ended()
            self.over.callback(None)

    def stopProducing(self) -> None:
        self._paused = True


def _headers(request: ProxyRequest) -> tuple[tuple[bytes, bytes], ...]:
    """
    Return the headers that tell of a request's answer.
    """
    ours = ((name, value) for name, values in request.responseHeaders.getAllRawHeaders() for value in values)
    return tuple(
        (name, value)
        for name, value in request.relayed_headers or ours
        if name.lower() not in _WRITTEN_ANEW and not name.lower().startswith(_LIMITS)
    )


def _media_type(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return next((value.lower() for name, value in headers if name.lower() == b"content-type"), b"")
