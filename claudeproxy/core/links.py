"""
Pictures in the place of their links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from claudeproxy.core.chat import Image, ImageLink, Message, Part, ToolResult

__all__ = ["image_links", "with_images"]


def image_links(messages: Sequence[Message]) -> tuple[ImageLink, ...]:
    """
    Return all links of a conversation in their order, each as often as it occurs.
    """
    return tuple(link for message in messages for link in _links(message.parts))


def _links(parts: Sequence[Part]) -> Iterator[ImageLink]:
    for part in parts:
        if isinstance(part, ImageLink):
            yield part
        elif isinstance(part, ToolResult):
            yield from _links(part.content)


def with_images(messages: Sequence[Message], images: Mapping[str, Image]) -> tuple[Message, ...]:
    """
    Return the conversation with every link replaced by its picture.

    :param images: the pictures by their links' URLs; all of them must be there.
    """
    return tuple(
        Message(message.role, tuple(_replaced(part, images) for part in message.parts))
        if image_links((message,))
        else message
        for message in messages
    )


def _replaced(part: Part, images: Mapping[str, Image]) -> Part:
    match part:
        case ImageLink(url=url):
            return images[url]
        case ToolResult(content=content):
            return evolve(
                part, content=tuple(images[each.url] if isinstance(each, ImageLink) else each for each in content)
            )
        case _:
            return part
