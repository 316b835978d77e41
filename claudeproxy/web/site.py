"""
The HTTP server: makes connections, and knows what they share.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from twisted.web.server import Site

from claudeproxy.core.proxies import TrustedProxies
from claudeproxy.errors import RequestTooLarge
from claudeproxy.ops.drain import Drain
from claudeproxy.web.body_budget import BodyBudget
from claudeproxy.web.channel import ProxyChannel, new_request_id
from claudeproxy.web.cors import CrossOrigin
from claudeproxy.web.request import SECURITY_LINES, ProxyRequest

__all__ = ["ProxySite"]

_IDLE_TIMEOUT = 75.0
"""Seconds for which a connection may be silent between requests; clients keep theirs for less."""

_LONGEST_REQUEST_ID = 128


class ProxySite(Site):
    """
    Makes connections and knows what they share.
    """

    protocol = ProxyChannel  # type: ignore[assignment]  # no HTTP/2 here, so no wrapper to negotiate it
    requestFactory = ProxyRequest  # type: ignore[assignment]  # called with the channel alone
    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: IReactorTime,
        drain: Drain,
        cross_origin: CrossOrigin,
        max_body_bytes: int,
        header_timeout: float,
        body_timeout: float,
        proxies: TrustedProxies,
        bodies: BodyBudget,
        admit: Callable[[ProxyRequest], None] = lambda request: None,
        access_log: Callable[[ProxyRequest], None] | None = None,
    ) -> None:
        """
        :param resource: answers every request.
        :param header_timeout: seconds that a client may take for the head of a request.
        :param body_timeout: seconds that it may take for each piece of a body (see the channel).
        :param bodies: what the bodies of all requests may take.
        :param admit: called with each request that has a body, when its head is complete; raises a
            ``ClaudeProxyError`` that is the answer then.
        :param access_log: called with each request when it is over.
        """
        super().__init__(resource, reactor=clock, timeout=cast(Any, _IDLE_TIMEOUT), parsePOSTFormSubmission=False)
        self.drain = drain
        self.max_body_bytes = max_body_bytes
        self.idle_timeout = _IDLE_TIMEOUT
        self.header_timeout, self.body_timeout = header_timeout, body_timeout
        self.shortest_wait = min(_IDLE_TIMEOUT, header_timeout, body_timeout)
        """The shortest of the times that a client may let the server wait."""
        self.channels: set[ProxyChannel] = set()
        """The open connections."""
        self.seconds = clock.seconds
        self._clock = clock
        self._all_gone: Deferred[None] | None = None
        self._cross_origin = cross_origin
        self._proxies = proxies
        self._access_log = access_log
        self.bodies = bodies
        self._admit = admit
        self._date = b""
        self._date_second = -1

    def introduce(self, request: ProxyRequest) -> None:
        """
        Read who sent a request, and what the answer's head depends on: the request's id and its origin.
        """
        request.read_headers()
        peer = getattr(request.channel.getPeer(), "host", "")
        request.address = self._proxies.client(peer, request.headers(b"X-Forwarded-For"))
        given = request.header(b"X-Request-Id")
        request.request_id = given if given is not None and _is_fit(given) else new_request_id()
        request.head_lines = SECURITY_LINES + self._cross_origin.lines(request.header(b"Origin"))

    def admit(self, request: ProxyRequest) -> None:
        """
        Decide from the head of a request whether its body is wanted.

        :raises ClaudeProxyError: it is not.
        """
        request.introduce()
        request.locate()
        self._admit(request)

    def over(self, request: ProxyRequest) -> None:
        """
        A request is answered, or its client is gone.
        """
        if request.began is not None:
            self.drain.left()
        if self._access_log is not None:
            self._access_log(request)

    def too_large(self) -> RequestTooLarge:
        """
        What a client hears whose body is over the cap.
        """
        return RequestTooLarge(f"The request body is larger than {self.max_body_bytes} bytes.")

    def date(self) -> bytes:
        """
        The value of ``Date``; made once a second.
        """
        now = self.seconds()
        if int(now) != self._date_second:
            self._date_second = int(now)
            self._date = datetimeToString(now)
        return self._date

    def close_idle(self) -> None:
        """
        Close the connections that have no request in flight.
        """
        for channel in tuple(self.channels):
            if not channel.requests:
                channel.loseConnection()

    def gone(self, channel: ProxyChannel) -> None:
        """
        A connection is closed.
        """
        self.channels.discard(channel)
        if self._all_gone is not None and not self.channels:
            self._all_gone.callback(None)

    async def close(self, timeout: float) -> None:
        """
        Close the connections that have no request in flight, and wait until all are closed: then what was answered last
        is on its way.

        :param timeout: seconds after which it does not matter any more.
        """
        self.close_idle()
        if self.channels:
            self._all_gone = Deferred()
            await self._all_gone.addTimeout(timeout, self._clock, lambda *_: None)
            self._all_gone = None

    def abort(self) -> None:
        """
        Break every connection, whatever its client has not taken yet.
        """
        for channel in tuple(self.channels):
            channel.transport.abortConnection()

    # -- Called by Twisted ----------------------------------------------------

    def acceptableProtocols(self) -> list[bytes]:
        """
        What TLS may negotiate.
        """
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """
        Listening begins; Twisted's own access log, and its clock, stay off.
        """

    def stopFactory(self) -> None:
        """
        Listening has ended.
        """

    def log(self, request: object) -> None:
        """
        See :meth:`over`.
        """


def _is_fit(request_id: bytes) -> bool:
    """
    Whether a client's id can travel on: 1 to 128 printable ASCII characters.
    """
    if not 0 < len(request_id) <= _LONGEST_REQUEST_ID:
        return False
    return request_id.isascii() and request_id.decode("ascii").isprintable()
