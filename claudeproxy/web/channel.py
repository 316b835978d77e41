"""
One connection of a client, below the requests: HTTP that is none, bodies that are too large, silence.

Whatever leaves the daemon leaves with the lines that :meth:`ProxyChannel.writeHeaders` adds, so no answer can lack a
request id or a security header: not an error, not a relayed one, not one to bytes that are no HTTP. Nothing of what
Twisted itself would say in HTML, or in silence, is left.

This is the hot path. Lines that are always the same are made once, and no timer is set per request.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from typing import TYPE_CHECKING
from uuid import UUID

from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.http_headers import Headers

from claudeproxy.errors import ClaudeProxyError, MalformedRequest
from claudeproxy.web.answers import error_headers
from claudeproxy.web.request import SECURITY_LINES, ProxyRequest
from claudeproxy.wire.errorbody import openai_error

if TYPE_CHECKING:
    from claudeproxy.web.site import ProxySite

__all__ = ["ProxyChannel", "new_request_id"]

_LINGER = 10.0
"""Seconds for which a refused client is still listened to, so that it reads why before its connection breaks."""

_NO_STORE = b"Cache-Control: no-store\r\n"
_CLOSE = b"Connection: close\r\n"


class ProxyChannel(HTTPChannel):
    """
    One connection of a client.
    """

    site: ProxySite
    transport: ITCPTransport
    _refused = False
    _secure = False
    _peer: IAddress | None = None
    _host: IAddress | None = None
    _heard = 0.0
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
        request = self.requests[0] if self.requests else None
        if request is not None:
            self.site.introduce(request)
            request.code, request.error = error.status, error.code
        body = openai_error(error)
        headers = Headers({"Content-Type": ["application/json"], "Content-Length": [str(len(body))]})
        for name, value in (*error_headers(error), ("Connection", "close")):
            headers.setRawHeaders(name, (value,))
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, RESPONSES[error.status], headers)
        self.transport.write(body)
        self.clearLineBuffer()
        if ITCPTransport.providedBy(self.transport) and not self.isSecure():
            self._arm(_LINGER, self.transport.abortConnection)
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Write the head of an answer, with the lines that all answers have.
        """
        site = self.site
        lines = [version, b" ", code, b" ", reason, b"\r\nDate: ", site.date()]
        if self.requests:
            request: ProxyRequest = self.requests[0]
            request.answered = site.seconds()
            lines += (
                b"\r\nX-Request-ID: ",
                request.request_id,
                b"\r\n",
                request.head_lines,
                request.openai_limit_lines,
            )
            if request.backend:
                lines.append(b"X-Backend-Mode: %b\r\n" % request.backend.encode("ascii"))
                if request.upstream:
                    lines.append(b"X-Upstream: %b\r\n" % request.upstream.encode("ascii"))
                if request.attempts:
                    lines.append(b"X-Backend-Attempts: %d\r\n" % request.attempts)
        else:
            lines += (b"\r\nX-Request-ID: ", new_request_id(), b"\r\n", SECURITY_LINES)
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

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come; those of a refused client are not looked at.
        """
        if not self._refused:
            super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """
        A head is complete; one that declares too large a body is answered before the client is told to go on.
        """
        request = self.requests[0]
        request.method, request.uri = self._command, self._path  # so that also a refusal says of what
        if self.length is not None and self.length > self.site.max_body_bytes:
            self.refuse(self.site.too_large())
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """
        A request is complete.
        """
        if not self._refused:
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        A line of a head is too long.
        """
        self.refuse(MalformedRequest("The request line or a header is too long."))

    def timeoutConnection(self) -> None:
        """
        The client was silent for too long: nothing to say about it in the log.
        """
        self._arm(_LINGER, self.transport.abortConnection)
        self.loseConnection()

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
        Set the seconds of silence after which the connection is given up, or None while a request is answered.

        Twisted does so twice per request, and once per read, with a timer each. Here one timer looks at the time when
        it fires.
        """
        previous: float | None = self.timeOut
        self.timeOut = period  # type: ignore[assignment]  # Twisted's own default is whole seconds
        self._heard = self.site.seconds()
        if period is not None and self._timer is None:
            self._arm(period, self._check_silence)
        return previous

    def resetTimeout(self) -> None:
        """
        The client was heard.
        """
        self._heard = self.site.seconds()

    def _check_silence(self) -> None:
        if self.timeOut is None:
            return
        left = self._heard + self.timeOut - self.site.seconds()
        if left > 0:
            self._arm(left, self._check_silence)
        else:
            self.timeoutConnection()

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

    def _respondToBadRequestAndDisconnect(self) -> None:
        """
        The bytes are no HTTP. Private to Twisted, and yet the only place where it can be told what to say then.
        """
        self.refuse(MalformedRequest("The request is not valid HTTP."))


def new_request_id() -> bytes:
    """
    Return an id for a request that has none of its own. It shall be new; it need not be hard to guess.
    """
    return str(UUID(int=getrandbits(128), version=4)).encode("ascii")
