"""
Requests to an upstream, written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

from attrs import frozen
from hyperlink import URL
from twisted.internet.interfaces import IConsumer, IPullProducer
from zope.interface import implementer

from claudeproxy.errors import InvalidHeaderValue, MalformedRequest

__all__ = ["Origin", "UpstreamRequest"]

_PIECE = 65536
"""Bytes that are written at a time."""

_METHOD = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")

_BODY_EXPECTED = frozenset({b"POST", b"PUT", b"PATCH"})
"""The methods that declare also an empty body."""


@frozen(cache_hash=True)
class Origin:
    """
    Where connections go: those to equal origins are interchangeable.
    """

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Origin:
        """
        The origin of an http or https URL whose host is ASCII.
        """
        secure = url.scheme == "https"
        return cls(secure, url.host, url.port or (443 if secure else 80))

    @property
    def netloc(self) -> bytes:
        """
        The value of ``Host``.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}").encode("ascii")


class UpstreamRequest:
    """
    One request; may be written again on another connection when the first was already dead.
    """

    def __init__(
        self,
        netloc: bytes,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | BinaryIO,
        *,
        on_write: Callable[[], object],
    ) -> None:
        """
        :param netloc: the value of ``Host``.
        :param target: path and query.
        :param headers: all but ``Host`` and ``Content-Length``.
        :param body: bytes, or a seekable file that is read from its beginning.
        :param on_write: called whenever the request begins to be written.
        :raise MalformedRequest: the method or the target could not stand in a request line.
        :raise InvalidHeaderValue: a header would break the line structure.
        """
        if not _METHOD.fullmatch(method):
            raise MalformedRequest("The request method is not valid.")
        if not _TARGET.fullmatch(target):
            raise MalformedRequest("The request path has characters that must be percent-encoded.")
        self.method = method
        self._on_write = on_write
        self._body = body
        length = len(body) if isinstance(body, bytes) else body.seek(0, 2)
        self._head = _head(method, target, netloc, headers, length)
        self._feeding: _Feed | None = None

    @property
    def sent(self) -> bool:
        """
        Whether the transport has taken the whole request. An upstream may answer before (401, 413); it is heard, and
        its connection is of no further use.
        """
        return self._feeding is None or self._feeding.finished

    @property
    def is_upload(self) -> bool:
        """
        Whether the body is written piece by piece.
        """
        return self._feeding is not None

    def cease(self) -> None:
        """
        Write no more of the body: the upstream has refused the request already. Harmless when all is written.
        """
        if self._feeding is not None:
            self._feeding.cease()

    def write_to(self, transport: IConsumer) -> None:
        """
        Write head and body; what is large is written as fast as the transport takes it.
        """
        self._on_write()
        body = self._body
        if isinstance(body, bytes):
            if len(body) <= _PIECE:
                transport.write(self._head + body)
                return
            body = BytesIO(body)
        transport.write(self._head)
        self._feeding = _Feed(body, transport)
        self._feeding.start()


def _head(method: bytes, target: bytes, netloc: bytes, headers: Sequence[tuple[bytes, bytes]], length: int) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: " + netloc]
    lines += [b"%b: %b" % header for header in headers]
    if length or method in _BODY_EXPECTED:
        lines.append(b"Content-Length: %d" % length)
    head = b"\r\n".join(lines)
    # Whoever could smuggle a line end into a header could write a second request with our key in its place.
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise InvalidHeaderValue("A request header has a line break in it.")
    return head + b"\r\n\r\n"


@implementer(IPullProducer)
class _Feed:
    """
    Feeds a file to a transport, one piece whenever all before it has left.
    """

    def __init__(self, file: BinaryIO, transport: IConsumer) -> None:
        self.finished = False
        self._file = file
        self._transport = transport

    def start(self) -> None:
        self._file.seek(0)
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if self._file.closed:
            # The server closes a request's file when its client leaves; the exchange is then abandoned as well.
            self._transport.unregisterProducer()
            return
        piece = self._file.read(_PIECE)
        if piece:
            self._transport.write(piece)
        else:
            self.finished = True
            self._transport.unregisterProducer()

    def cease(self) -> None:
        """
        Feed no more.
        """
        if not self.finished:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """
        The connection is gone.
        """
