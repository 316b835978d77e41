"""
Pictures that a request only links to, on their way into the conversation.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred, FirstError, gatherResults

from claudeproxy.core.chat import Image, ImageLink, Message
from claudeproxy.core.links import image_links, with_images
from claudeproxy.errors import InvalidImageURL, InvalidValue, UnsupportedParameter
from claudeproxy.interfaces import IImageFetcher
from claudeproxy.ops.drain import Drain

__all__ = ["LinkedPictures"]

_MOST_LINKS = 100
"""Different ones in a request: as many pictures as the Messages API takes."""
_AT_ONCE = 4


@frozen
class LinkedPictures:
    """
    Has links fetched for backends that need the pictures themselves.
    """

    _fetcher: IImageFetcher | None
    """None where nothing is to be fetched."""
    _drain: Drain
    _max_bytes: int
    """In base64, of all that one request links to: as if the client had sent it."""

    async def fetched(self, messages: Sequence[Message], tenant: str) -> tuple[Message, ...]:
        """
        Return the conversation with pictures in the place of links.

        :raises ClaudeProxyError: one of them is not to be had; the error names its parameter.
        """
        links = image_links(messages)
        if not links:
            return tuple(messages)
        if self._fetcher is None:
            raise UnsupportedParameter(
                f"Unsupported parameter '{links[0].param}': this server fetches no pictures; send a data URL.",
                param=links[0].param,
            )
        fetching = Deferred.fromCoroutine(_Fetching(self._fetcher, tenant, links, self._max_bytes).all())
        return with_images(messages, await self._drain.track(fetching))


class _Fetching:
    """
    The links of one request.
    """

    def __init__(self, fetcher: IImageFetcher, tenant: str, links: Sequence[ImageLink], max_bytes: int) -> None:
        self._fetcher = fetcher
        self._tenant = tenant
        self._max_bytes = self._left = max_bytes
        self._times = Counter(link.url for link in links)
        """How often each URL occurs, and so how often its picture will be sent."""
        first: dict[str, ImageLink] = {}
        for link in links:
            first.setdefault(link.url, link)
        different = list(first.values())
        if len(different) > _MOST_LINKS:
            param = different[_MOST_LINKS].param
            raise InvalidValue(
                f"A request may link to at most {_MOST_LINKS} pictures; '{param}' is one more.", param=param
            )
        self._waiting = deque(different)
        self._images: dict[str, Image] = {}

    async def all(self) -> Mapping[str, Image]:
        """
        Fetch all pictures, and return them by their URLs. The first that fails ends the others.
        """
        workers = [Deferred.fromCoroutine(self._work()) for _ in range(_AT_ONCE)]
        try:
            await gatherResults(workers, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            for worker in workers:
                worker.cancel()
        return self._images

    async def _work(self) -> None:
        while self._waiting:
            link = self._waiting.popleft()
            image = await self._fetcher.fetch(link, self._tenant)
            self._left -= len(image.data) * self._times[link.url]
            if self._left < 0:
                raise InvalidImageURL(
                    f"The linked pictures have more than {self._max_bytes} bytes together, in base64.",
                    param=link.param,
                )
            self._images[link.url] = image
