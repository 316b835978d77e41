"""
Which headers travel between a client and an upstream, and which stop here.

Hop-by-hop headers (RFC 9110, section 7.6.1) and those that ``Connection`` names never travel. Beyond them:

Towards the upstream, nothing of ours leaves the house: the client's credentials (they are this daemon's keys), the
routing headers, cookies (those of a dashboard on the same host among them), what a reverse proxy in front says about
the client, and what a browser says for CORS, which is settled here. Everything else travels as it came:
``OpenAI-Organization``, ``OpenAI-Beta``, ``Idempotency-Key``, ``User-Agent``, ``x-stainless-*`` and whatever comes
next.

Towards the client, an upstream speaks about its answer but not about this origin: it sets no cookies, no CORS, caching,
security, reporting or alternative-service policy, and it takes none of the names that are ours. Its request id travels
as ``X-Upstream-Request-ID``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["HeaderPairs", "request_headers", "response_headers"]

HeaderPairs = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)

_STAYS_WITH_US = _HOP_BY_HOP | {
    # Written anew for the upstream.
    b"host",
    b"content-length",
    b"expect",
    # Credentials: the client's are for this daemon.
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-openai-api-key",
    b"cookie",
    # Routing.
    b"x-session-id",
    b"x-backend",
    # What a reverse proxy in front of us says about the client.
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
    # A browser's CORS request is answered here; an upstream that knows only its own origins would refuse it.
    b"origin",
    b"access-control-request-headers",
    b"access-control-request-method",
}

_STAYS_UPSTREAM = _HOP_BY_HOP | {
    # Written anew for the client.
    b"content-length",
    b"date",
    b"server",
    # Policies of an origin that is not ours.
    b"alt-svc",
    b"cache-control",
    b"clear-site-data",
    b"content-security-policy",
    b"content-security-policy-report-only",
    b"expires",
    b"nel",
    b"pragma",
    b"referrer-policy",
    b"report-to",
    b"reporting-endpoints",
    b"set-cookie",
    b"strict-transport-security",
    b"x-content-type-options",
    b"x-frame-options",
    # Names that are ours.
    b"x-accel-buffering",
    b"x-backend-attempts",
    b"x-backend-mode",
    b"x-ratelimit-limit",
    b"x-ratelimit-remaining",
    b"x-ratelimit-reset",
    b"x-upstream",
}

_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity", b""})

_NONE: frozenset[bytes] = frozenset()
_OWN_PREFIX = b"x-claude-"
_CORS_PREFIX = b"access-control-"


def request_headers(headers: HeaderPairs, *, authorization: bytes | None, identity: bool) -> list[tuple[bytes, bytes]]:
    """
    The headers for the upstream, without ``Host`` and ``Content-Length``, which belong to whoever writes the request.

    :param headers: the client's, as they came.
    :param authorization: the value of ``Authorization`` to send, or None to send none.
    :param identity: whether the answer must not be compressed, because a tee reads it on its way. Otherwise the
        client's own ``Accept-Encoding`` stands, also when it has none, but for the codings that errors could not be
        looked into for secrets in.
    """
    listed = _listed(headers)
    kept = [
        (name, value)
        for name, value in headers
        if _reaches_upstream(name)
        and not (listed and name.lower() in listed)
        and not (identity and len(name) == 15 and name.lower() == b"accept-encoding")
    ]
    if identity:
        kept.append((b"Accept-Encoding", b"identity"))
    else:
        kept = [
            (name, _looked_into(value)) if name.lower() == b"accept-encoding" else (name, value) for name, value in kept
        ]
    if authorization is not None:
        kept.append((b"Authorization", authorization))
    return kept


def _looked_into(accepted: bytes) -> bytes:
    """
    Return the value of ``Accept-Encoding`` with gzip, deflate and identity alone; as it is where it has no others.
    """
    named = [coding.partition(b";")[0].strip().lower() for coding in accepted.split(b",")]
    if all(name in _CODINGS for name in named):
        return accepted
    codings = accepted.split(b",")
    kept = [coding.strip() for name, coding in zip(named, codings, strict=True) if name in _CODINGS]
    return b", ".join(kept) or b"identity"


def response_headers(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    """
    The headers for the client, without ``Content-Length``, which belongs to whoever knows the body's length.

    A stream of server-sent events gets the two headers that keep caches and reverse proxies from holding it back.

    :param headers: the upstream's, as they came.
    """
    listed = _listed(headers)
    kept = []
    for name, value in headers:
        name_for_client = _reaches_client(name)
        if name_for_client is None or (listed and name.lower() in listed):
            continue
        kept.append((name_for_client, value))
        if len(name) == 12 and name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream"):
            kept += [(b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no")]
    return kept


@lru_cache(maxsize=1024)
def _reaches_upstream(name: bytes) -> bool:
    """
    Whether a header travels to the upstream. The same few dozen names come with every request, hence the cache.
    """
    lowered = name.lower()
    return lowered not in _STAYS_WITH_US and not lowered.startswith(_OWN_PREFIX)


@lru_cache(maxsize=1024)
def _reaches_client(name: bytes) -> bytes | None:
    """
    The name under which a header travels to the client, or None when it does not.
    """
    lowered = name.lower()
    if lowered in _STAYS_UPSTREAM or lowered.startswith((_OWN_PREFIX, _CORS_PREFIX)):
        return None
    return b"X-Upstream-Request-ID" if lowered == b"x-request-id" else name


def _listed(headers: HeaderPairs) -> frozenset[bytes]:
    """
    The lower-cased names that ``Connection`` lists.
    """
    values = [value.lower() for name, value in headers if len(name) == 10 and name.lower() == b"connection"]
    return frozenset(name.strip() for value in values for name in value.split(b",")) if values else _NONE
