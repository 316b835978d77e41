"""
What a request's target means.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.errors import ClaudeProxyError, MalformedRequest, UnknownURL
from claudeproxy.web.paths import Target, read_target


@pytest.mark.parametrize(
    ("uri", "route", "relayed", "versioned"),
    [
        (b"/", b"/", b"/", False),
        (b"/v1", b"/", b"/", True),
        (b"/v1/", b"/", b"/", True),
        (b"/v1?x", b"/", b"/?x", True),
        (b"/v1/models", b"/models", b"/models", True),
        (b"/models/", b"/models", b"/models", False),
        (b"//v1///models//?a=//b/", b"/models", b"/models?a=//b/", True),
        (b"/v1/v1/models", b"/v1/models", b"/v1/models", True),
        (b"/v10/models", b"/v10/models", b"/v10/models", False),
        (b"/v1/models/a%2Fb", b"/models/a/b", b"/models/a%2Fb", True),
        (b"/v1/files/%C3%A4?%FF", "/files/ä".encode(), b"/files/%C3%A4?%FF", True),
        (b"/v1/a?", b"/a", b"/a?", True),
        (b"/v1/.well-known/a..b", b"/.well-known/a..b", b"/.well-known/a..b", True),
        (b"http://host:1/v1/models?x", b"/models", b"/models?x", True),
        (b"HTTPS://host", b"/", b"/", False),
        (b"*", b"/", b"/", False),
    ],
)
def test_targets(uri: bytes, route: bytes, relayed: bytes, versioned: bool) -> None:
    """The route is decoded, what is relayed is not; both are below /v1."""
    assert Target(route, relayed, versioned) == read_target(uri)


@pytest.mark.parametrize("uri", [b"models", b"ftp://host/", b"/\xff", b"/%ff", b"?x", b"/a?\xff"])
def test_what_is_no_target(uri: bytes) -> None:
    """What is no path is malformed."""
    with pytest.raises(MalformedRequest):
        read_target(uri)


@pytest.mark.parametrize("uri", [b"/..", b"/v1/../x", b"/v1/./x", b"/%2e%2E/x", b"/v1/x/%2e", b"/a%2F..%2Fb", b"/.?x"])
def test_paths_that_climb(uri: bytes) -> None:
    """No path climbs, however its dots are written."""
    with pytest.raises(UnknownURL):
        read_target(uri)


@given(st.lists(st.sampled_from([b"/", b"v1", b"a", b"?", b"%2F", b"%2e", b".", b"%", b"b%20c"])).map(b"".join))
def test_reading_again_changes_nothing(uri: bytes) -> None:
    """What is relayed is in the one form that every spelling leads to."""
    try:
        target = read_target(uri)
        again = read_target(target.relayed)
    except ClaudeProxyError:
        return
    if not again.versioned:
        assert target.relayed == again.relayed
    assert target.relayed.startswith(b"/")
    assert b"//" not in target.relayed.partition(b"?")[0]
