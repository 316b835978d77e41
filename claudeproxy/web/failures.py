"""
What exceptions become: the one place that turns them into answers.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from claudeproxy.errors import ClaudeProxyError, InternalError, MethodNotSupported, UnknownURL
from claudeproxy.web.answers import error_answer
from claudeproxy.web.request import ProxyRequest

__all__ = ["answer_failure", "no_such_url"]

_log = Logger()


async def answer_failure(request: ProxyRequest, failure: Failure) -> bytes | None:
    """
    Answer a request whose handler, or whose routing, failed; Klein sends what this returns.

    Before the first byte the failure has its own status. After it the stream says what it can, and its connection ends.
    """
    if request.gone:
        # Klein must not finish a request that nobody waits for any more.
        await request.departure()
        return None
    error = _public(request, failure)
    request.error = error.code
    if error.status >= 500 and not isinstance(error, InternalError):
        _log.warn("{code}: {reason}", code=error.code, reason=error.message, request_id=request.request_id.decode())
    if request.stream is not None:
        if request.startedWriting:
            await request.stream.broke(error)
            return None
        request.stream.end()
    if request.responseHeaders.hasHeader(b"X-Claude-Session-Created"):
        # A session that fails in its first turn is no session.
        for name in (b"X-Claude-Session-ID", b"X-Claude-Session-Created"):
            request.responseHeaders.removeHeader(name)
    return error_answer(request, error)


def no_such_url(request: ProxyRequest) -> UnknownURL:
    """
    Return the error of a path that nobody has.
    """
    path = request.uri.partition(b"?")[0].decode("ascii", "replace")
    return UnknownURL(f"There is no {request.method.decode('ascii', 'replace')} {path}.")


def _public(request: ProxyRequest, failure: Failure) -> ClaudeProxyError:
    """
    Return what the client may know of a failure.
    """
    value = failure.value
    if isinstance(value, ClaudeProxyError):
        return value
    if isinstance(value, MethodNotAllowed):
        allowed = ", ".join(sorted(value.valid_methods or ()))
        return MethodNotSupported("The method is not supported here.", headers=(("Allow", allowed),))
    if isinstance(value, HTTPException):
        return no_such_url(request)
    if isinstance(value, CancelledError):
        _log.error("A request was cancelled although its client still waits.")
    else:
        _log.failure("A request failed.", failure)
    return InternalError("The server had an internal error.")
