"""
Fetching one picture: where from, how much, for how long, and whether it is one.

The client of the relay does the talking (:mod:`claudeproxy.backends.openai.client`): it bounds heads, drops what it is
told to drop at once, verifies every certificate, and knows neither proxies nor cookies nor encodings. It connects
through :mod:`~claudeproxy.backends.images.guard`. Redirects are followed here, since each is a new decision.

Errors say what a client can act on. Of what stands at an address that must not be fetched from they say nothing: there
is one text for every such address and for every name that leads nowhere.
"""

from __future__ import annotations

import re
import string
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import quote, urljoin

from attrs import define, field, frozen
from hyperlink import URL
from OpenSSL.SSL import Error as TLSError
from service_identity.exceptions import VerificationError
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as LimitReached
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from claudeproxy import __version__
from claudeproxy.backends.images.cache import ImageCache
from claudeproxy.backends.images.guard import Guard, PictureOrigin
from claudeproxy.backends.openai.client import UpstreamClient, secured
from claudeproxy.backends.openai.failures import UPSTREAM_FAILURES
from claudeproxy.backends.openai.request import Origin, UpstreamRequest
from claudeproxy.config import ImagesConfig
from claudeproxy.core.addresses import Destinations
from claudeproxy.core.chat import Image, ImageLink
from claudeproxy.core.media import IMAGE_TYPES, MAX_IMAGE_BYTES, image_type
from claudeproxy.errors import InvalidImageURL
from claudeproxy.interfaces import IImageFetcher
from claudeproxy.wire.http1 import AnswerHead

__all__ = ["ImageFetcher"]

_MOST_REDIRECTS = 3
_LONGEST_URL = 8192

_KEPT_BYTES = 64 * 1024 * 1024
_KEPT_FOR = 600.0
"""Seconds: a pause between two turns of a conversation, not more."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_HOST = re.compile(r"[A-Za-z0-9._-]*")

_HEADERS = (
    # Not image/*, for which some would send a kind that the model cannot see.
    (b"Accept", ", ".join(IMAGE_TYPES).encode()),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", f"claudeproxy/{__version__}".encode()),
)


class _Failed(Exception):
    """
    There is no picture to be had; the text says why, to the client.
    """


class _Moved(Exception):
    """
    It is somewhere else.
    """

    def __init__(self, location: str) -> None:
        self.location = location


@frozen
class _Target:
    """
    Where a request goes.
    """

    url: str
    origin: Origin
    path: bytes
    """With the query."""

    @classmethod
    def of(cls, url: str) -> _Target:
        """
        Read a URL.
        """
        if len(url) > _LONGEST_URL:
            raise _Failed(f"its URL is longer than {_LONGEST_URL} characters")
        scheme, _, rest = url.partition("://")
        try:
            parsed = URL.from_text(f"{scheme.lower()}://{rest}")
            # Names are written as the network has them; that of a host may have an underscore there.
            origin = Origin.of(parsed.replace(host=parsed.host.lower()) if _as_it_is(parsed.host) else parsed.to_uri())
        except ValueError:
            raise _Failed("its URL is not valid") from None
        if parsed.scheme not in ("http", "https") or not origin.host or not 0 < origin.port < 65536:
            raise _Failed("its URL is not valid")
        if parsed.userinfo:
            raise _Failed("its URL has a user name in it, and no names and passwords are sent")
        # Not as it was parsed: what a signature stands for must not be written anew.
        place = re.search("[/?#]", rest)
        path = rest[place.start() :].partition("#")[0] if place else ""
        path = path if path.startswith("/") else f"/{path}"
        return cls(url, origin, quote(path, safe=string.punctuation).encode("ascii"))

    def redirected(self, location: str) -> _Target:
        """
        Read a redirect that leads away from here.
        """
        try:
            url = urljoin(self.url, location)
        except ValueError:
            raise _Failed("it leads to a URL that is not valid") from None
        target = _Target.of(url)
        if self.origin.secure and not target.origin.secure:
            raise _Failed("it leads from https to http")
        return target


def _as_it_is(host: str) -> bool:
    """Return whether a host's name is written as the network has it, or is an IPv6 address."""
    return ":" in host or _HOST.fullmatch(host) is not None


@define(eq=False)
class _Answer:
    """
    Takes what is answered, as long as it can be a picture.
    """

    _data: bytearray = field(init=False, factory=bytearray)

    def answered(self, head: AnswerHead, flow: IPushProducer) -> None:
        if head.status in _REDIRECTS:
            try:
                raise _Moved(head.values(b"location")[0].decode())
            except (IndexError, UnicodeDecodeError):
                raise _Failed("it leads nowhere: the redirect has no location") from None
        if head.status != 200:
            raise _Failed(f"the answer has the status {head.status}")
        if any(value.lower() != b"identity" for value in head.values(b"content-encoding")):
            raise _Failed("the answer is compressed, which nobody asked for")
        self._check(head.length or 0)

    def received(self, data: bytes) -> None:
        self._check(len(self._data) + len(data))
        self._data += data

    def _check(self, size: int) -> None:
        if size > MAX_IMAGE_BYTES:
            raise _Failed(f"it has more than {MAX_IMAGE_BYTES} bytes")

    def image(self) -> Image:
        """
        Return the picture that came.
        """
        media_type = image_type(bytes(self._data[:16]))
        if media_type is None:
            raise _Failed(f"it is no picture of type {', '.join(IMAGE_TYPES)}")
        return Image(media_type, b64encode(self._data).decode("ascii"))


@implementer(IImageFetcher)
class ImageFetcher:
    """
    Fetches pictures from where links may lead.
    """

    def __init__(self, reactor: Any, config: ImagesConfig, trust_root: IOpenSSLTrustRoot | None = None) -> None:
        """
        :param reactor: provides ``IReactorTCP``, ``IReactorTime`` and ``IReactorPluggableNameResolver``.
        :param trust_root: the authorities to trust; None means the platform's.
        """
        self._clock = IReactorTime(reactor)
        self._timeout = config.timeout
        endpoints = secured(Guard(reactor, Destinations(config.allowed), config.timeout).endpoint, trust_root)
        self._client = UpstreamClient(reactor, endpoints, connect_timeout=config.timeout, idle_timeout=5.0, max_idle=4)
        self._cache = ImageCache(reactor, _KEPT_BYTES, _KEPT_FOR)

    def fetch(self, link: ImageLink, tenant: str) -> Deferred[Image]:
        """
        See ``IImageFetcher``.
        """
        fetching = Deferred.fromCoroutine(self._fetch(link, tenant))
        return fetching.addTimeout(self._timeout, self._clock, self._took_too_long(link))

    def close(self) -> Deferred[None]:
        """
        Drop every connection; fires when all are gone.
        """
        return self._client.close()

    async def _fetch(self, link: ImageLink, tenant: str) -> Image:
        # By tenant, so that nobody learns from the time it takes what another has asked for.
        key = tenant, link.url
        image = self._cache.get(key)
        if image is None:
            try:
                image = await self._through(link.url, tenant)
            except _Failed as error:
                raise InvalidImageURL(f"The picture cannot be fetched: {error}.", param=link.param) from error
            self._cache.put(key, image)
        return image

    async def _through(self, url: str, tenant: str) -> Image:
        """
        Fetch a picture through its redirects.
        """
        target = _Target.of(url)
        for _ in range(1 + _MOST_REDIRECTS):
            try:
                return await self._get(target, tenant)
            except _Moved as moved:
                target = target.redirected(moved.location)
        raise _Failed(f"there are more than {_MOST_REDIRECTS} redirects")

    async def _get(self, target: _Target, tenant: str) -> Image:
        origin = PictureOrigin(target.origin.secure, target.origin.host, target.origin.port, tenant)
        request = UpstreamRequest(origin.netloc, b"GET", target.path, _HEADERS, b"", on_write=_nothing)
        answer = _Answer()
        try:
            await self._client.exchange(origin, request, answer, replayable=True)
        except (DNSLookupError, ValueError):
            # A ValueError is a name that can be none.
            raise _Failed(
                "its host has no address to fetch from; these are public addresses, at the ports 80 and 443"
            ) from None
        except (TLSError, VerificationError):
            raise _Failed("its host has no valid certificate") from None
        except UPSTREAM_FAILURES as error:
            raise _Failed(_why(error)) from error
        return answer.image()

    def _took_too_long(self, link: ImageLink) -> Callable[[object, float], NoReturn]:
        def tell(result: object, timeout: float) -> NoReturn:
            raise InvalidImageURL(
                f"The picture cannot be fetched: that took longer than {timeout:g} s.", param=link.param
            )

        return tell


def _why(error: BaseException) -> str:
    if isinstance(error, (ConnectError, LimitReached)):
        return "no connection to its host could be made"
    return "its host broke off, or does not speak HTTP"


def _nothing() -> None:
    """
    Nobody counts the tries.
    """
