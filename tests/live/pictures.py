"""
Pictures, servers of pictures, and what becomes of a link to one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from zope.interface import implementer

from claudeproxy.backends.images.fetcher import ImageFetcher
from claudeproxy.core.chat import Image, ImageLink
from claudeproxy.errors import InvalidImageURL
from claudeproxy.testing.playing import End, RawAnswer
from tests.memory.names import Names

__all__ = ["GIF", "IMAGE", "PNG", "At", "MakeFetcher", "With", "get", "moved", "picture", "refused"]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
GIF = b"GIF89a" + bytes(100)
IMAGE = Image("image/png", b64encode(PNG).decode())

MakeFetcher = Callable[..., ImageFetcher]


@implementer(IReactorTCP, IReactorTime)
class At:
    """
    A reactor whose ports are at another address of loopback, or speak TLS.
    """

    def __init__(self, address: str = "127.0.0.1", options: Any = None) -> None:
        self._address = address
        self._options = options
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls
        self.connectTCP = reactor.connectTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if self._options is None:
            return reactor.listenTCP(port, factory, backlog, self._address)
        return reactor.listenSSL(port, factory, self._options, backlog, self._address)


@implementer(IReactorTCP, IReactorTime)
class With:
    """
    The reactor with names of the test's own.
    """

    def __init__(self, names: Names) -> None:
        self.nameResolver = names
        self.connectTCP = reactor.connectTCP
        self.listenTCP = reactor.listenTCP
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls


def picture(data: bytes = PNG, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> RawAnswer:
    """An answer that is a picture, of whatever type its server thinks."""
    return RawAnswer(
        headers=((b"Content-Type", b"text/html"), (b"Content-Length", b"%d" % len(data)), *headers), steps=(data,)
    )


def moved(to: str, status: int = 302) -> RawAnswer:
    """A redirect, with a body that never ends."""
    return RawAnswer(status, ((b"Location", to.encode()),), (b"over there", End.STALL))


def get(fetcher: ImageFetcher, url: str, tenant: str = "t") -> Deferred[Image]:
    """Fetch a picture."""
    return fetcher.fetch(ImageLink(url, "messages[0].content[0].image_url.url"), tenant)


async def refused(fetcher: ImageFetcher, url: str) -> str:
    """The words with which it is refused."""
    with pytest.raises(InvalidImageURL) as raised:
        await get(fetcher, url)
    assert raised.value.param == "messages[0].content[0].image_url.url"
    assert (raised.value.status, raised.value.code) == (400, "invalid_image_url")
    words = raised.value.message.removeprefix("The picture cannot be fetched: ")
    assert words != raised.value.message
    return words
