"""
What travels between client and upstream.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.wire.headers import request_headers, response_headers

HOP_BY_HOP = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
]


def sent(*headers: tuple[bytes, bytes], authorization: bytes | None = None, identity: bool = False) -> list[object]:
    """What the upstream gets."""
    return list(request_headers(headers, authorization=authorization, identity=identity))


@pytest.mark.parametrize(
    "name",
    [
        *HOP_BY_HOP,
        b"Authorization",
        b"x-api-key",
        b"X-OpenAI-API-Key",
        b"Cookie",
        b"Host",
        b"Content-Length",
        b"Expect",
        b"X-Claude-Code",
        b"X-Claude-Session-ID",
        b"X-Session-ID",
        b"X-Forwarded-For",
        b"Forwarded",
        b"Origin",
    ],
)
def test_does_not_reach_the_upstream(name: bytes) -> None:
    """Credentials, routing, cookies and hop-by-hop headers stay here, in any spelling."""
    assert sent((name, b"x"), (name.upper(), b"x"), (name.lower(), b"x")) == []


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Type",
        b"OpenAI-Beta",
        b"OpenAI-Organization",
        b"OpenAI-Project",
        b"User-Agent",
        b"x-stainless-lang",
        b"Idempotency-Key",
        b"Accept",
        b"X-Whatever-Comes-Next",
    ],
)
def test_reaches_the_upstream(name: bytes) -> None:
    """All else travels as it came, repeated headers in their order."""
    assert sent((name, b"a; b"), (b"Host", b"us"), (name, b"c")) == [(name, b"a; b"), (name, b"c")]


def test_names_in_connection_stay() -> None:
    """A header that Connection lists is hop-by-hop, in both directions."""
    headers = ((b"Connection", b"close, X-This"), (b"X-This", b"1"), (b"x-that", b"2"), (b"Connection", b"x-That"))

    assert sent(*headers) == []
    assert response_headers([*headers, (b"X-Other", b"2")]) == [(b"X-Other", b"2")]


def test_swaps_the_credentials() -> None:
    """The upstream sees its own key and nothing of the client's."""
    headers = ((b"Authorization", b"Bearer ours"), (b"X-Api-Key", b"ours"))

    assert sent(*headers, authorization=b"Bearer theirs") == [(b"Authorization", b"Bearer theirs")]


def test_compression_is_declined_for_the_tee() -> None:
    """Whatever the client accepts, the upstream is asked for identity when the answer is to be read on its way."""
    assert sent((b"accept-encoding", b"gzip, br"), identity=True) == [(b"Accept-Encoding", b"identity")]
    assert sent(identity=True) == [(b"Accept-Encoding", b"identity")]


@pytest.mark.parametrize(
    ("accepted", "told"),
    [
        (b"gzip;q=1.0,deflate", b"gzip;q=1.0,deflate"),
        (b"", b""),
        (b"gzip, br", b"gzip"),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", b"gzip;q=0.8"),
        (b"*", b"identity"),
        (b"zstd", b"identity"),
    ],
)
def test_compression_is_the_clients_matter_otherwise(accepted: bytes, told: bytes) -> None:
    """Without a tee the client's own Accept-Encoding stands, but for what errors cannot be looked into in."""
    assert sent((b"Accept-Encoding", accepted)) == [(b"Accept-Encoding", told)]
    assert sent() == []


@pytest.mark.parametrize(
    "name",
    [
        *HOP_BY_HOP,
        b"Server",
        b"Date",
        b"Content-Length",
        b"Set-Cookie",
        b"Cache-Control",
        b"Strict-Transport-Security",
        b"Alt-Svc",
        b"Clear-Site-Data",
        b"Content-Security-Policy",
        b"Access-Control-Allow-Origin",
        b"Access-Control-Expose-Headers",
        b"X-Backend-Mode",
        b"X-Backend-Attempts",
        b"X-Upstream",
        b"X-Claude-Session-ID",
        b"X-RateLimit-Limit",
    ],
)
def test_does_not_reach_the_client(name: bytes) -> None:
    """An upstream sets no cookies and no policy for our origin, and takes no name that is ours."""
    assert response_headers([(name, b"x"), (name.lower(), b"x")]) == []


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Type",
        b"Content-Encoding",
        b"Retry-After",
        b"openai-processing-ms",
        b"openai-version",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-reset-tokens",
        b"WWW-Authenticate",
        b"Location",
        b"CF-Ray",
    ],
)
def test_reaches_the_client(name: bytes) -> None:
    """What the upstream says about its answer travels as it is."""
    assert response_headers([(name, b"v")]) == [(name, b"v")]


def test_the_upstreams_request_id_gets_a_name_of_its_own() -> None:
    """X-Request-ID is ours; the upstream's travels beside it."""
    assert response_headers([(b"X-Request-Id", b"req_1")]) == [(b"X-Upstream-Request-ID", b"req_1")]


def test_nothing_holds_back_a_stream() -> None:
    """A stream of events is marked so that neither caches nor reverse proxies keep it."""
    headers = response_headers([(b"Cache-Control", b"max-age=9"), (b"Content-Type", b"Text/Event-Stream; charset=u")])

    assert headers == [
        (b"Content-Type", b"Text/Event-Stream; charset=u"),
        (b"Cache-Control", b"no-cache"),
        (b"X-Accel-Buffering", b"no"),
    ]


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_any_bytes_are_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """No header, however odd, raises; what travels is among what came."""
    assert set(request_headers(headers, authorization=None, identity=False)) <= set(headers)
    response_headers([(b"Connection", value) for _, value in headers])
