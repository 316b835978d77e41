"""
Bodies of requests.
"""

from __future__ import annotations

import re

from claudeproxy.errors import UnsupportedMediaType
from claudeproxy.web.request import ProxyRequest

__all__ = ["read_json"]

_JSON_TYPE = re.compile(rb"application/(?:[^;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)


def read_json(request: ProxyRequest) -> bytes:
    """
    Return the body of a request that is to be JSON; whether it is, its decoder finds out.

    :raises UnsupportedMediaType: the client says that it is something else.
    """
    declared = request.header(b"Content-Type")
    if declared is not None and _JSON_TYPE.fullmatch(declared) is None:
        raise UnsupportedMediaType("The Content-Type of the body must be application/json.")
    body: bytes = request.content.read()
    return body
