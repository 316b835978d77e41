"""
One connection of a client, below the requests: what is no HTTP, bodies that are too large, clients that are too slow.

Whatever leaves the daemon leaves with the lines that :meth:`ProxyChannel.writeHeaders` adds, so no answer can lack a
request id or a security header: not an error, not a relayed one, not one to bytes that are no HTTP. Nothing of what
Twisted itself would say in HTML, or in silence, is left.

How long a client may let the server wait
    Between requests, for a fixed time. For the head of a request, from its first byte to its last. For a body there is
    no bound on the whole, which would cut off a large upload on a slow line; but in each span of the body's timeout it
    must come on by 16 KiB, or to its end. A byte now and then is not enough for either. Who is late within a request
    gets 408. While a request is answered it is the server that lets the client wait. And when the connection is to be
    closed, the client must take what is left of its answer as fast as it would have to ask for the next one.

This is the hot path. Lines that are always the same are made once, and no timer is set per request: one timer looks at
the time when it fires, and it fires no later than the shortest of these times after it was set.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from random import getrandbits
from typing import TYPE_CHECKING
from uuid import UUID

from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from claudeproxy.errors import ClaudeProxyError, InternalError, RequestTimeout
from claudeproxy.web.answers import error_headers
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.strict import StrictChannel
from claudeproxy.wire.errorbody import openai_error

if TYPE_CHECKING:
    from claudeproxy.web.site import ProxySite

__all__ = ["ProxyChannel", "new_request_id"]

_LINGER = 10.0
"""Seconds for which a refused client is still listened to, so that it reads why before its connection breaks."""

_HALF_CLOSED = 0.5
"""
Seconds for which requests are still answered after their client has closed its side of the connection. It may want to
read on, or be gone; that is seen only when something is written.
"""

_LEAST_PROGRESS = 16 * 1024
"""Bytes by which a body must come on in the span of its timeout, unless it ends."""

_IDLE, _HEAD, _BODY = "idle", "head", "body"
"""What a connection waits for: a request, the rest of a head, the rest of a body."""

_NO_STORE = b"Cache-Control: no-store\r\n"
_CLOSE = b"Connection: close\r\n"


@implementer(IHalfCloseableProtocol)
class ProxyChannel(StrictChannel):
    """
    One connection of a client.
    """

    site: ProxySite
    transport: ITCPTransport
    slow = False
    """Whether the client does not read what is written to it."""
    _refused = False
    _half_closed = False
    _ends = False
    """Whether the connection is closed as soon as all is written."""
    _secure = False
    _peer: IAddress | None = None
    _host: IAddress | None = None
    _waits_for = _IDLE
    _since = 0.0
    _counted = 0
    """Bytes of the body that had come then."""
    _timer: IDelayedCall | None = None

    def refuse(self, error: ClaudeProxyError) -> None:
        """
        Answer what is not, or not yet, a whole request with ``error``, and be done with the client.

        The client may still be sending. Were the connection closed on unread data, the answer would be lost in the
        reset.
        """
        if self._refused:
            return
        self._refused = True
        self.persistent = 0
        if not self.requests:
            self.requests.append(ProxyRequest(self))  # so that the access log has it
        request = self.requests[0]
        request.method, request.uri = getattr(self, "_command", request.method), getattr(self, "_path", request.uri)
        request.introduce()
        request.give_back()
        request.code, request.error = error.status, error.code
        body = openai_error(error)
        headers = Headers({"Content-Type": ["application/json"], "Content-Length": [str(len(body))]})
        for name, value in (*error_headers(error), ("Connection", "close")):
            headers.setRawHeaders(name, (value,))
        reason = HTTPStatus(error.status).phrase.encode("ascii")
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, reason, headers)
        if request.method != b"HEAD":
            self.transport.write(body)
        self.clearLineBuffer()
        if ITCPTransport.providedBy(self.transport) and not self.isSecure():
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()
        self._arm(_LINGER, self.transport.abortConnection)

    def loseConnection(self) -> None:
        """
        Close the connection when all is written; a client that does not take it is cut off.
        """
        self._ends = True
        super().loseConnection()
        if self in self.site.channels:
            self._arm(self.site.idle_timeout, self.transport.abortConnection)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Write the head of an answer, with the lines that all answers have.
        """
        site = self.site
        lines = [version, b" ", code, b" ", reason, b"\r\nDate: ", site.date()]
        request: ProxyRequest = self.requests[0]
        request.answered = site.seconds()
        lines += (b"\r\nX-Request-ID: ", request.request_id, b"\r\n", request.head_lines, request.openai_limit_lines)
        if request.backend:
            lines.append(b"X-Backend-Mode: %b\r\n" % request.backend.encode("ascii"))
            if request.upstream:
                lines.append(b"X-Upstream: %b\r\n" % request.upstream.encode("ascii"))
            if request.attempts:
                lines.append(b"X-Backend-Attempts: %d\r\n" % request.attempts)
        if not headers.hasHeader(b"Cache-Control"):
            lines.append(_NO_STORE)
        if site.drain.draining and self.persistent:
            self.persistent = 0
            lines.append(_CLOSE)
        for name, values in headers.getAllRawHeaders():
            for value in values:
                lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))

    # -- Called by Twisted ----------------------------------------------------

    def connectionMade(self) -> None:
        """
        A client has connected.
        """
        self._secure = super().isSecure()
        self._peer, self._host = super().getPeer(), super().getHost()
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self.site.gone(self)
        super().connectionLost(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def readConnectionLost(self) -> None:
        """
        The client has closed its side of the connection: it may still read, or it may be gone.

        What it has asked for by now and is ready at once is answered. Then, or when the time for that is over, the
        connection ends, and with it the work on what is left.
        """
        if self._half_closed or self._ends:
            return
        self._half_closed = True
        if self._refused:
            self.transport.loseConnection()
        elif self.requests and self._handlingRequest:
            self._arm(_HALF_CLOSED, self.transport.abortConnection)
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        A refused client has been told all that there was to tell.
        """

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come; those of a refused client are not looked at.

        With what came ahead this is called from within ``finish()`` of the request before, so nothing that goes wrong
        here may reach the caller.
        """
        if self._refused:
            return
        try:
            super().dataReceived(data)
        except Exception:
            self._log.failure("A request could not be read.")
            if self.requests and self._handlingRequest:
                self.transport.abortConnection()
            else:
                self.refuse(InternalError("The server had an internal error."))
        if not self._ends:
            self.look_ahead()

    def allHeadersReceived(self) -> None:
        """
        A head is complete; one that declares too large a body is answered before the client is told to go on.
        """
        request = self.requests[0]
        request.method, request.uri = self._command, self._path  # so that also a refusal says of what
        if not self.has_one_host():
            return
        if self.length is not None and self.length > self.site.max_body_bytes:
            self.refuse(self.site.too_large())
            return
        if self.length != 0:
            try:
                self.site.admit(request)
            except ClaudeProxyError as error:
                # Before the body, and in the place of "100 Continue".
                self.refuse(error)
                return
            self._waits_for, self._since, self._counted = _BODY, self.site.seconds(), 0
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """
        A request is complete.
        """
        if self._refused:
            return
        if self.has_fit_trailers() and self.requests[0].is_stored():
            super().allContentReceived()

    def requestDone(self, request: ProxyRequest) -> None:
        """
        A request is answered: it is over, and then what came ahead is read. Twisted would begin the next one first.
        """
        ahead = b"".join(self._dataBuffer)
        self._dataBuffer = []
        super().requestDone(request)
        self.site.over(request)
        if ahead and not self._ends:
            self.dataReceived(ahead)
        if self._half_closed and not self._busyReceiving and not (self.requests and self._handlingRequest):
            self.loseConnection()

    def timeoutConnection(self) -> None:
        """
        The client was silent for too long: nothing to say about it in the log.
        """
        self.loseConnection()
        self._arm(_LINGER, self.transport.abortConnection)

    def pauseProducing(self) -> None:
        """
        The connection's buffer is full.
        """
        self.slow = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """
        The connection's buffer has room again.
        """
        self.slow = False
        super().resumeProducing()

    def isSecure(self) -> bool:
        """
        Whether this is TLS; like the addresses, asked for with every request.
        """
        return self._secure

    def getPeer(self) -> IAddress | None:
        """
        The client's address.
        """
        return self._peer

    def getHost(self) -> IAddress | None:
        """
        The address that the client connected to.
        """
        return self._host

    def setTimeout(self, period: float | None) -> float | None:
        """
        Wait for the next request for so many seconds, or for nothing (None) while a request is answered.

        Twisted does so twice per request, with a timer each.
        """
        previous: float | None = self.timeOut
        self.timeOut = period  # type: ignore[assignment]  # Twisted's own default is whole seconds
        # A head that began in the same read as the request before is not heard of again.
        self._waits_for, self._since = _HEAD if self._buffer else _IDLE, self.site.seconds()
        if period is not None and self._timer is None:
            self._arm(self.site.shortest_wait, self._look)
        return previous

    def resetTimeout(self) -> None:
        """
        The client was heard; Twisted says so with every read.
        """
        if self._waits_for is _IDLE:
            self._waits_for, self._since = _HEAD, self.site.seconds()

    def _look(self) -> None:
        """
        Give up on a client that has let the server wait for too long, or look again when it could have.
        """
        if self.timeOut is None:
            return
        site, now = self.site, self.site.seconds()
        allowed = {_IDLE: self.timeOut, _HEAD: site.header_timeout, _BODY: site.body_timeout}[self._waits_for]
        left = self._since + allowed - now
        if left <= 0 and self._waits_for is _BODY:
            received = self.requests[0].received
            if received - self._counted >= _LEAST_PROGRESS:
                self._counted, self._since, left = received, now, allowed
        if left > 0:
            self._arm(min(left, site.shortest_wait), self._look)
        elif self._waits_for is _IDLE:
            self.timeoutConnection()
        elif self._waits_for is _HEAD:
            self.refuse(RequestTimeout(f"The head of the request was not complete after {allowed:g} s."))
        else:
            self.refuse(
                RequestTimeout(f"The body of the request came too slowly: less than 16 KiB within {allowed:g} s.")
            )

    def _arm(self, delay: float, call: Callable[[], object]) -> None:
        """
        Set the one timer.
        """

        def fire() -> None:
            self._timer = None
            call()

        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.callLater(delay, fire)


def new_request_id() -> bytes:
    """
    Return an id for a request that has none of its own. It shall be new; it need not be hard to guess.
    """
    return str(UUID(int=getrandbits(128), version=4)).encode("ascii")
