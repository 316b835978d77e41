"""
What went wrong between us and an upstream, said so that a client may read it.

Every text is one of ours: an exception's own may name internal hosts, addresses and files. The cause stays attached for
the log.
"""

from __future__ import annotations

from OpenSSL.SSL import Error as TLSError
from service_identity.exceptions import VerificationError
from twisted.internet.defer import TimeoutError as LimitReached
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
)

from claudeproxy.backends.openai.connection import BrokenOff, NoAnswer
from claudeproxy.backends.openai.timers import CLIENT
from claudeproxy.errors import BackendError, ClaudeProxyError, RateLimited, UpstreamTimeout, UpstreamUnreachable
from claudeproxy.wire.http1 import RemoteProtocolError

__all__ = ["UPSTREAM_FAILURES", "from_failure", "ran_out", "refused"]

UPSTREAM_FAILURES = (
    BrokenOff,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    LimitReached,
    NoAnswer,
    RemoteProtocolError,
    TLSError,
    VerificationError,
)
"""What an exchange may fail with when it is not our own fault."""


def ran_out(timer: str, seconds: float) -> UpstreamTimeout:
    """
    The error of a timer that ran out.
    """
    if timer == CLIENT:
        return UpstreamTimeout(f"The client did not read its response for {seconds:g} s.")
    return UpstreamTimeout(f"The upstream was too slow: the {timer} timer ran out after {seconds:g} s.")


def refused(status: int) -> ClaudeProxyError:
    """
    The error for an answer of which nothing is known but its status.
    """
    if status == 429:
        return RateLimited("The upstream refused for its rate limit.")
    return BackendError(f"The upstream answered with status {status}.")


def from_failure(error: BaseException, connect_timeout: float) -> ClaudeProxyError:
    """
    The error for the client behind one of :data:`UPSTREAM_FAILURES`.
    """
    if isinstance(error, (LimitReached, TimeoutError, TCPTimedOutError)):
        return ran_out("connect", connect_timeout)
    return UpstreamUnreachable(_sentence(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "The upstream refused the connection."
    if isinstance(error, (DNSLookupError, UnknownHostError)):
        return "The upstream's name could not be resolved."
    if isinstance(error, VerificationError):
        return "The upstream's certificate is not for its name."
    if isinstance(error, TLSError):
        return f"The TLS handshake with the upstream failed{_tls_reason(error)}."
    if isinstance(error, (ConnectionClosed, NoAnswer)):
        return "The upstream closed the connection without an answer."
    if isinstance(error, BrokenOff):
        return "The upstream broke off in the middle of its answer."
    if isinstance(error, (ConnectError, ConnectingCancelledError)):
        return "No connection to the upstream could be made."
    return "The upstream's answer is not valid HTTP."


def _tls_reason(error: TLSError) -> str:
    """
    OpenSSL's own words, for example "certificate verify failed".
    """
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return f": {queue[0][-1]}" if queue else ""
