"""
Cross-origin requests: scripts of the origins that the operator named may read the answers, nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from twisted.web.http import NO_CONTENT, Request

from claudeproxy.errors import OriginNotAllowed

__all__ = ["CrossOrigin"]

_MAX_AGE = b"86400"
"""Seconds for which a browser may remember a preflight."""

_TOLD = (b"limit", b"remaining", b"reset")
_EXPOSED = b", ".join(
    (
        b"X-Request-ID",
        b"X-Upstream-Request-ID",
        b"X-Backend-Mode",
        b"X-Backend-Attempts",
        b"X-Upstream",
        b"X-Claude-Session-ID",
        b"X-Claude-Session-Created",
        b"X-Claude-Ignored-Params",
        b"X-Claude-Cost-USD",
        b"Idempotent-Replayed",
        b"X-RateLimit-Limit",
        b"X-RateLimit-Remaining",
        b"X-RateLimit-Reset",
        b"Retry-After",
        b"X-Should-Retry",
        b"Allow",
        b"WWW-Authenticate",
        # What upstreams send, and SDKs read.
        b"retry-after-ms",
        *(b"x-ratelimit-%b-%b" % (what, of) for what in _TOLD for of in (b"requests", b"tokens")),
        *(b"x-ratelimit-%b-%b" % (what, of) for what in _TOLD for of in (b"input-tokens", b"output-tokens")),
        *(b"openai-%b" % name for name in (b"organization", b"project", b"processing-ms", b"version", b"model")),
        b"request-id",
    )
)
"""What a script may read besides the body. A wildcard would not count for requests with credentials."""


class CrossOrigin:
    """
    The rules for one list of allowed origins; compared exactly, as a browser sends them.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self.use(allowed)

    def use(self, allowed: Iterable[str]) -> None:
        """
        Go by this list of origins from now on.
        """
        origins = [origin.encode("ascii") for origin in allowed]
        vary = b"Vary: Origin\r\n" if origins else b""
        self._lines = {
            origin: b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n%b"
            % (origin, _EXPOSED, vary)
            for origin in origins
        }
        self._default_lines = vary

    def lines(self, origin: bytes | None) -> bytes:
        """
        Return the header lines, ready to be sent, of an answer to a request.

        :param origin: the page's that the request comes from, if it comes from one.
        """
        return self._default_lines if origin is None else self._lines.get(origin, self._default_lines)

    def is_foreign(self, request: Request) -> bool:
        """
        Whether a page of another site, which is not on the list, may have sent the request.

        Where no key is asked for, this is what keeps the web out of a daemon on loopback. For a page that only wants to
        send, a browser asks for no preflight; and a page whose own name was made to resolve to loopback has the same
        origin as the daemon, so the name in ``Host`` must be a name of loopback as well.
        """
        headers = request.requestHeaders
        origin = headers.getRawHeaders(b"Origin")
        if origin is not None and origin[-1] in self._lines:
            return False
        host = (headers.getRawHeaders(b"Host") or [b""])[-1]
        if host and not _is_loopback(host):
            return True
        return origin is not None and origin[-1].partition(b"://")[2] != host

    def answer_options(self, request: Request, allow: bytes) -> bytes:
        """
        Answer ``OPTIONS``, a browser's preflight or anyone's question, and return the empty body.

        :param allow: the methods of the route, comma-separated.
        :raises OriginNotAllowed: a preflight from an origin that is not on the list.
        """
        asked = request.requestHeaders
        answer = request.responseHeaders
        origin = asked.getRawHeaders(b"Origin")
        if origin is not None and asked.hasHeader(b"Access-Control-Request-Method"):
            if origin[-1] not in self._lines:
                raise OriginNotAllowed("Scripts of this origin may not use this server (CORS_ALLOWED_ORIGINS).")
            answer.setRawHeaders(b"Access-Control-Allow-Methods", (allow,))
            answer.setRawHeaders(b"Access-Control-Max-Age", (_MAX_AGE,))
            if (asked.getRawHeaders(b"Access-Control-Request-Private-Network") or [b""])[-1].lower() == b"true":
                # The page is public, and this server is in a private network or on the page's own machine.
                answer.setRawHeaders(b"Access-Control-Allow-Private-Network", (b"true",))
            wanted = asked.getRawHeaders(b"Access-Control-Request-Headers")
            if wanted is not None:
                answer.setRawHeaders(b"Access-Control-Allow-Headers", (b", ".join(wanted),))
        answer.setRawHeaders(b"Allow", (allow,))
        request.setResponseCode(NO_CONTENT)
        return b""


def _is_loopback(host: bytes) -> bool:
    """
    Whether the value of ``Host`` names this machine to itself.
    """
    name = host.decode("latin-1").lower()
    name = name.partition("]")[0].strip("[") if name.startswith("[") else name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
