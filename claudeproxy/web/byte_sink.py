"""
The sink of relays: an upstream's response goes to the client as it comes.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.errors import BackendError, ClaudeProxyError
from claudeproxy.interfaces import IByteSink
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.sink import Sink
from claudeproxy.wire.stream_ends import RelayedStream

__all__ = ["ByteSink"]

_READ_BY_US = frozenset({b"content-length", b"cache-control"})
"""Headers that decide how the rest of a response is written."""

_OPENAI_LIMITS = b"x-ratelimit-"
"""How the names begin in which an upstream tells its limits. A client that reads them is to know the upstream's."""


@implementer(IByteSink)
class ByteSink(Sink):
    """
    Relays an upstream's answer as it comes.

    Comments, and the error event of an answer that breaks off, are put into streams of events only.
    """

    def __init__(self, request: ProxyRequest, clock: IReactorTime, keepalive_interval: float) -> None:
        super().__init__(request, clock, keepalive_interval)
        self._status = 200
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        self._has_length = False
        self._stream: RelayedStream | None = None
        """Follows the body, if it is a stream of events."""

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
        self._request.answering = True
        self._has_length = any(name.lower() == b"content-length" for name, _ in headers)
        self._stream = RelayedStream(self._request.relayed_path) if _is_event_stream(headers) else None
        if self._stream is not None and not self._request.gone:
            self._keep_alive()
            self._write(b"")

    def raw(self, data: bytes) -> None:
        """
        See ``IByteSink``.
        """
        if self._stream is not None:
            self._stream.feed(data)
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
        return self._stream is not None and self._stream.between_events

    def _last_words(self, error: ClaudeProxyError) -> bytes | None:
        return None if self._stream is None or self._has_length else self._stream.last_words(error)


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """
    Whether a body is a stream of events that something can be put into.
    """
    named = {name.lower(): value.lower() for name, value in headers}
    return named.get(b"content-type", b"").startswith(b"text/event-stream") and b"content-encoding" not in named
