"""
What a request's target means: one place reads it, before any route sees it.

Clients build URLs by joining strings, so every route is there with and without ``/v1``, doubled and trailing slashes
count as one and as none, and a query never takes part in routing.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from claudeproxy.errors import MalformedRequest, UnknownURL

__all__ = ["Target", "read_target"]

_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_SLASHES = re.compile(rb"/{2,}")


class Target(NamedTuple):
    """
    A request's target.
    """

    route: bytes
    """The path that routes are matched against: percent-decoded UTF-8, below ``/v1``, ``/`` alone for the root."""
    relayed: bytes
    """The same path as an upstream gets it: still encoded, with the query."""
    versioned: bool
    """Whether the client wrote ``/v1``."""


def read_target(uri: bytes) -> Target:
    """
    Read the target of a request line.

    :raises MalformedRequest: it is no path.
    :raises UnknownURL: it climbs: no route does, and no upstream must be climbed in with our key.
    """
    if not uri.startswith(b"/"):
        # The whole URL is sent by a client that takes us for its proxy, and * by one that asks about the server as a
        # whole (RFC 9112, section 3.2).
        uri = b"/" if uri == b"*" else _ORIGIN.sub(b"", uri, count=1) or b"/"
    path, mark, query = uri.partition(b"?")
    if not (uri.isascii() and path.startswith(b"/")):
        raise MalformedRequest("The request target must be a path, with all but ASCII percent-encoded.")
    if b"//" in path:
        path = _SLASHES.sub(b"/", path)
    versioned = path.startswith(b"/v1") and path[3:4] in (b"", b"/")
    if versioned:
        path = path[3:]
    if path.endswith(b"/") or not path:
        path = path[:-1] or b"/"
    route = path
    if b"%" in path:
        route = unquote_to_bytes(path)
        try:
            route.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedRequest("The request path is not UTF-8.") from None
    if b"/." in route and not {b".", b".."}.isdisjoint(route.split(b"/")):
        raise UnknownURL("The request path has dot segments.")
    return Target(route, path + mark + query, versioned)
