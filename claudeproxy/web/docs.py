"""
``GET /openapi.json`` and ``GET /docs``: what the API is, for programs and for people.
"""

from __future__ import annotations

from functools import cache

import msgspec

from claudeproxy import __version__
from claudeproxy.web.answers import json_answer
from claudeproxy.web.request import ProxyRequest
from claudeproxy.wire.openapi import PAGE_POLICY, document, page

__all__ = ["DocsRoute"]


class DocsRoute:
    """
    The document and its page, each made when it is first asked for and then kept.
    """

    async def openapi(self, request: ProxyRequest) -> bytes:
        """
        Give the OpenAPI document.
        """
        return json_answer(request, _document())

    async def page(self, request: ProxyRequest) -> bytes:
        """
        Show the same to a person, on a page that may load its own style and nothing else.
        """
        body = _page()
        request.set_content_policy(PAGE_POLICY)
        headers = request.responseHeaders
        headers.setRawHeaders(b"Content-Type", (b"text/html; charset=utf-8",))
        headers.setRawHeaders(b"Content-Length", (b"%d" % len(body),))
        return body


@cache
def _document() -> bytes:
    return msgspec.json.encode(document(__version__))


@cache
def _page() -> bytes:
    return page(document(__version__)).encode()
