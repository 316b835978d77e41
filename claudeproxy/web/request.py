"""
One request of a client: what it is, and what becomes known of it on its way.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.server import Request
from zope.interface import provider

from claudeproxy.core.access import OPEN_DOOR, KeyPolicy
from claudeproxy.core.events import Usage
from claudeproxy.core.limits import Standing
from claudeproxy.errors import ClaudeProxyError, InternalError
from claudeproxy.ops.admission import Ticket
from claudeproxy.web.answers import error_answer
from claudeproxy.web.paths import read_target
from claudeproxy.wire.limit_headers import limit_lines, openai_limit_lines

if TYPE_CHECKING:
    from claudeproxy.store.answers import Run
    from claudeproxy.web.channel import ProxyChannel
    from claudeproxy.web.site import ProxySite

__all__ = ["SECURITY_LINES", "ProxyRequest", "Stream"]

_POLICY_LINE = b"Content-Security-Policy: %b\r\n"
_API_POLICY_LINE = _POLICY_LINE % b"default-src 'none'"

SECURITY_LINES = (
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
    + _API_POLICY_LINE
    + b"Referrer-Policy: no-referrer\r\n"
)
"""Header lines, ready to be sent, of every answer of the API."""

_BODY_IN_MEMORY = 1024 * 1024
"""Bytes of a body beyond which it waits in a temporary file."""


class Stream(Protocol):
    """
    What a request knows of the sink that answers it.
    """

    def end(self) -> None:
        """
        Let go of the producer and the timer. Harmless when said twice.
        """

    async def broke(self, error: ClaudeProxyError) -> None:
        """
        Say what went wrong in an answer that has begun, and end the connection.
        """


@provider(INonQueuedRequestFactory)
class ProxyRequest(Request):
    """
    One request, and what becomes known of it on its way.
    """

    channel: ProxyChannel
    site: ProxySite
    transport: ITCPTransport
    content: Any
    """The body: a file, at its beginning; closed when the client has left."""

    request_id = b""
    relayed_path = b"/"
    """Path and query below ``/v1``, as an upstream gets them."""
    versioned = False
    """Whether the client wrote ``/v1``."""
    head_lines = SECURITY_LINES
    """Header lines of the answer, ready to be sent, besides those in ``responseHeaders``."""
    openai_limit_lines = b""
    """More of them: the limits under OpenAI's names, which an upstream's own take the place of."""
    ticket: Ticket | None = None
    """What the limits gave it; None when they were not asked, or refused."""
    relayed_headers: Iterable[tuple[bytes, bytes]] = ()
    """The upstream's, of an answer that is relayed; they are among the lines."""
    recording: Run | None = None
    """What keeps a copy of the body, when the answer is to be had again."""
    stream: Stream | None = None
    """The sink that answers, when there is one."""
    gone = False
    """Whether the client has left."""
    admitted = False
    """Whether it has been let in, which a request with a body is before that comes."""

    # What the access log tells.
    address = ""
    """The client's; empty where it has none."""
    key: KeyPolicy = OPEN_DOOR
    backend: str = ""
    """Also the value of ``X-Backend-Mode``."""
    upstream: str = ""
    """Which one, where there are several; also the value of ``X-Upstream``."""
    attempts = 0
    """How often a backend was asked; also the value of ``X-Backend-Attempts``."""
    model: str = ""
    replayed = False
    """Whether the answer is an earlier request's."""
    error: str = ""
    """The code of the error that was the answer, or that ended it."""
    usage: Usage | None = None
    answering: bool = False
    """Whether the backend that serves it now has begun its response, which a client may get only as a whole."""
    began: float | None = None
    """When the request was complete; None while it is not."""
    answered: float | None = None
    """When the head of the answer was written."""

    def __init__(self, channel: ProxyChannel) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.site = channel.site
        self.received = 0
        """Bytes of the body that have come."""
        self._headers: Mapping[bytes, Sequence[bytes]] = {}
        self._held = 0
        """Bytes of the body that the budget of all bodies is charged with."""

    # -- Called by the channel, in this order ---------------------------------

    def gotLength(self, length: int | None) -> None:
        """
        The head is complete; a body of ``length`` bytes, or a chunked one, comes next.
        """
        small = length is not None and length <= _BODY_IN_MEMORY
        self.content = BytesIO() if small else SpooledTemporaryFile(_BODY_IN_MEMORY)  # noqa: SIM115

    def handleContentChunk(self, data: bytes) -> None:
        """
        A piece of the body has come.
        """
        self.received += len(data)
        if self.received > self.site.max_body_bytes:
            self.channel.refuse(self.site.too_large())
            return
        try:
            self.site.bodies.take(self.address, len(data))
        except ClaudeProxyError as error:
            self.channel.refuse(error)
            return
        self._held += len(data)
        try:
            self.content.write(data)
        except OSError as error:
            self._cannot_store(error)

    def is_stored(self) -> bool:
        """
        All of the body has come. Return whether it can be read; if it cannot, the client is told.
        """
        if type(self.content) is SpooledTemporaryFile:
            try:
                # What is left in a buffer would not fit later either.
                self.content.flush()
            except OSError as error:
                self._cannot_store(error)
                return False
        return True

    def process(self) -> None:
        """
        The request is complete.
        """
        self.began = self.site.seconds()
        self.site.drain.entered()
        try:
            self.introduce()
            self.locate()
            self.site.resource.render(self)
        except ClaudeProxyError as error:
            self._answer(error)
        except Exception:
            self.processingFailed(Failure())

    def connectionLost(self, reason: Failure) -> None:
        """
        The client has left before its answer was complete.
        """
        self.gone = True
        if self.stream is not None:
            self.stream.end()
        self.give_back()
        super().connectionLost(reason)
        self.site.over(self)

    # -- Called by whoever answers --------------------------------------------

    write = HTTPRequest.write
    """Without what ``twisted.web.server`` adds: a default content type, and encoders that nobody asks for here."""

    def finish(self) -> None:
        """
        The answer is complete.
        """
        self.give_back()  # first, for the connection's next request begins before this returns
        HTTPRequest.finish(self)

    def processingFailed(self, reason: Failure) -> Failure:
        """
        Answer a failure that nothing above has handled.
        """
        self._log.failure("A request failed.", reason)
        if self.startedWriting:
            self.loseConnection()
        else:
            self._answer(InternalError("The server had an internal error."))
        return reason

    def introduce(self) -> None:
        """
        Find out who sent it, unless that is known.
        """
        if not self.request_id:
            self.site.introduce(self)

    def locate(self) -> None:
        """
        Find out what it is for: the path for the routes, and that for an upstream.

        :raises ClaudeProxyError: the target means nothing.
        """
        target = read_target(self.uri)
        self.relayed_path, self.versioned = target.relayed, target.versioned
        self.prepath, self.postpath = [], target.route[1:].split(b"/")

    def read_headers(self) -> None:
        """
        Take the client's headers, as far as they have come.
        """
        self._headers = dict(self.requestHeaders.getAllRawHeaders())

    def header(self, name: bytes) -> bytes | None:
        """
        Return the last value of one of the client's headers, or None.

        :param name: as Twisted spells it: each word with one capital, ``X-Api-Key``.
        """
        values = self._headers.get(name)
        return values[-1] if values else None

    def headers(self, name: bytes) -> Sequence[bytes]:
        """
        Return all values of one of the client's headers, spelled as for :meth:`header`.
        """
        return self._headers.get(name, ())

    def session_header(self) -> str | None:
        """
        Return what stands where the client names its session, or None.
        """
        value = self.header(b"X-Claude-Session-Id")
        if value is None:
            value = self.header(b"X-Session-Id")
        return None if value is None else value.decode("latin-1")

    def tell_limits(self, standing: Standing | None) -> None:
        """
        Have the answer tell how near the rate limits are, if there are any.
        """
        if standing is not None:
            self.head_lines += limit_lines(standing, self.site.seconds())
            self.openai_limit_lines = openai_limit_lines(standing)

    def set_content_policy(self, policy: bytes) -> None:
        """
        Answer with a page, which has a ``Content-Security-Policy`` of its own.
        """
        self.head_lines = self.head_lines.replace(_API_POLICY_LINE, _POLICY_LINE % policy)

    def departure(self) -> Deferred[None]:
        """
        Fires when the connection is gone, for whatever reason.
        """
        return self.notifyFinish().addErrback(lambda _: None)

    def getRequestHostname(self) -> bytes:
        """
        Name no host: no route depends on it, and a strange one in the request shall do no harm.
        """
        return b"localhost"

    def give_back(self) -> None:
        """
        Let go of what the limits gave. Harmless when said twice.
        """
        if self.ticket is not None:
            self.ticket.release()
        held, self._held = self._held, 0
        if held:
            self.site.bodies.give_back(self.address, held)

    def _cannot_store(self, error: OSError) -> None:
        """
        There is no room for the body, or no directory for its file. The operator learns why.
        """
        file, self.content = self.content, BytesIO()
        with suppress(OSError):
            file.close()  # which tries once more to write
        self.channel.refuse(InternalError("The server cannot store the body of the request."))
        self._log.error(
            "The body of a request cannot be stored: {reason}",
            reason=os.strerror(error.errno or 0),
            request_id=self.request_id.decode("ascii"),
        )

    def _answer(self, error: ClaudeProxyError) -> None:
        self.error = error.code
        self.write(error_answer(self, error))
        self.finish()
