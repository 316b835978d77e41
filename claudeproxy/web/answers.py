"""
Answers that are not streams: JSON bodies and errors.
"""

from __future__ import annotations

from http import HTTPStatus
from math import ceil

from twisted.web.http import Request

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.errorbody import openai_error

__all__ = ["error_answer", "error_headers", "json_answer"]

_JSON = (b"application/json",)
_RETRY_LATER = 5.0
"""Seconds, where nothing is known about when a 429 or 503 will be over."""


def json_answer(request: Request, body: bytes, status: int = 200) -> bytes:
    """
    Set the head of a JSON answer and return its body, for Klein to send.
    """
    # Twisted knows no words for some, 429 among them.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode("ascii"))
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", _JSON)
    headers.setRawHeaders(b"Content-Length", (b"%d" % len(body),))
    return body


def error_answer(request: Request, error: ClaudeProxyError) -> bytes:
    """
    Set the head of the answer that ``error`` makes and return its body.
    """
    for name, value in error_headers(error):
        request.responseHeaders.setRawHeaders(name, (value,))
    return json_answer(request, openai_error(error), error.status)


def error_headers(error: ClaudeProxyError) -> list[tuple[str, str]]:
    """
    The headers that belong to the answer of ``error``, apart from those of its body.
    """
    headers = list(error.headers)
    if error.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if error.permanent:
        # The SDKs would otherwise try again, and their users wait.
        headers.append(("X-Should-Retry", "false"))
    if error.retry_after is not None or error.status in (429, 503):
        seconds = _RETRY_LATER if error.retry_after is None else error.retry_after
        headers.append(("Retry-After", str(max(1, ceil(seconds)))))
    return headers
