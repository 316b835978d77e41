"""
How strictly requests are read: what Twisted's parser takes or overlooks, and HTTP/1.1 or good sense do not.

The rules themselves are in :mod:`claudeproxy.wire.request_head`; here they meet Twisted's channel. A part of what
decides is private to Twisted, so ``tests/live/test_fuzz_framing.py`` compares the whole with another parser.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.http import HTTPChannel

from claudeproxy.errors import ClaudeProxyError, HeadersTooLarge, MalformedRequest, URITooLong
from claudeproxy.web.request import ProxyRequest
from claudeproxy.wire.request_head import (
    body_length,
    check_transfer_encoding,
    has_bare_line_end,
    is_field_line,
    line_fault,
    target_host,
    wants_close,
)

if TYPE_CHECKING:
    from claudeproxy.web.site import ProxySite

__all__ = ["StrictChannel"]


class StrictChannel(HTTPChannel):
    """
    A connection whose requests mean one thing only; whatever else comes is refused.
    """

    site: ProxySite

    def refuse(self, error: ClaudeProxyError) -> None:
        """
        Answer the request that is being read with ``error``, and read nothing more.
        """
        raise NotImplementedError

    # -- Asked by whoever reads a request -------------------------------------

    def look_ahead(self) -> None:
        """
        Refuse a line of a head that is wrong before it ends: the client may have other line ends, or speak TLS.

        Twisted would wait for CRLF until the time for the head is over.
        """
        if self._buffer and self.line_mode and not self._busyReceiving:
            fault = line_fault(self._buffer.removesuffix(b"\r"))
            if fault is not None:
                self.refuse(MalformedRequest(fault))

    def has_one_host(self) -> bool:
        """
        Whether the request is for one host, which is its ``Host`` from now on; if not, the client is told.
        """
        headers = self.requests[0].requestHeaders
        try:
            host = target_host(self._command, self._path, self._version, headers.getRawHeaders(b"Host", ()))
        except MalformedRequest as error:
            self.refuse(error)
            return False
        if host is not None:
            headers.setRawHeaders(b"Host", [host])
        return True

    def has_fit_trailers(self) -> bool:
        """
        Whether what came after the last chunk are header lines; if not, the client is told. Nobody reads them.
        """
        if all(map(is_field_line, getattr(self._transferDecoder, "_trailerHeaders", ()))):
            return True
        self.refuse(MalformedRequest("A trailer of the request's body is not a header line."))
        return False

    # -- Called by Twisted ----------------------------------------------------

    def lineReceived(self, line: bytes) -> None:
        """
        A line of a head has come.
        """
        fault = line_fault(line)
        if fault is None:
            super().lineReceived(line)
        else:
            self.refuse(MalformedRequest(fault))

    def rawDataReceived(self, data: bytes) -> None:
        """
        A piece of a body has come, or what follows the request that is answered.
        """
        super().rawDataReceived(data)
        decoder: Any = self._transferDecoder
        state = getattr(decoder, "state", "")  # of a chunked body
        if state == "BODY":
            if self.requests[0].received + decoder.length > self.site.max_body_bytes:
                self.refuse(self.site.too_large())
        elif state and decoder._buffer:
            # As in a head, Twisted would wait for CRLF.
            rest = bytes(decoder._buffer)
            if has_bare_line_end(rest) or (state == "CRLF" and rest != b"\r"):
                self.refuse(MalformedRequest("The lines between the chunks of a body must end with CRLF."))

    def checkPersistence(self, request: ProxyRequest, version: bytes) -> bool:
        """
        Return whether the connection may serve another request after this one. With HTTP/1.0 it never does.
        """
        options = request.requestHeaders.getRawHeaders(b"Connection")
        if version == b"HTTP/1.1" and not (options and wants_close(options)):
            return True
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        A line of a head is too long.
        """
        method, blank, rest = line.partition(b" ")
        if hasattr(self, "_command"):
            self.refuse(HeadersTooLarge(f"A header line is longer than {self.MAX_LENGTH} bytes."))
        elif blank and method.isalpha():
            self._command, self._path = method, rest.partition(b" ")[0]
            self.refuse(URITooLong(f"The request line is longer than {self.MAX_LENGTH} bytes."))
        else:
            self.refuse(MalformedRequest("The request line is too long and does not begin with a method."))

    # -- Private to Twisted, and yet the only places where these can be decided --

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        """
        A header line is complete; if it says how long the body is, choose how that is read.
        """
        if header not in (b"Content-Length", b"Transfer-Encoding"):
            return True
        try:
            if self._transferDecoder is not None:
                raise MalformedRequest(
                    "Content-Length and Transfer-Encoding exclude each other, and neither may be there twice."
                )
            if header == b"Content-Length":
                data = b"%d" % body_length(data)
            else:
                check_transfer_encoding(data, self._version)
        except ClaudeProxyError as error:
            self.refuse(error)
            return False
        chosen: bool = super()._maybeChooseTransferDecoder(header, data)
        return chosen

    def _respondToBadRequestAndDisconnect(self) -> None:
        """
        The bytes are no HTTP, or the head is too large.
        """
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(
                HeadersTooLarge(
                    f"The head of a request may have {self.totalHeadersSize} bytes and {self.maxHeaders} headers."
                )
            )
        elif self.line_mode:
            self.refuse(MalformedRequest("The request is not valid HTTP."))
        else:
            self.refuse(MalformedRequest("The body of the request is not divided into chunks as it must be."))
