"""
Pictures in the place of their links.
"""

from __future__ import annotations

import pytest

from claudeproxy.core.chat import Document, Image, ImageLink, Message, Role, Text, ToolCall, ToolResult
from claudeproxy.core.history import history_digest
from claudeproxy.core.links import image_links, with_images
from claudeproxy.core.size import ConversationSize
from claudeproxy.errors import InvalidValue
from claudeproxy.wire.anthropic import message_objects

A, B = Image("image/png", "AAAA"), Image("image/gif", "BBBB")
LINK, OTHER = ImageLink("http://a/", "messages[0]"), ImageLink("http://b/")

CONVERSATION = (
    Message(Role.USER, (Text("1"), LINK, Text("2"), OTHER)),
    Message(Role.ASSISTANT, (ToolCall("c", "see", "{}"),)),
    Message(Role.USER, (ToolResult("c", (OTHER, Text("3"), LINK)), LINK)),
    Message(Role.USER, "4"),
)


def test_links_are_found_in_their_order() -> None:
    """Those in messages and in what functions return, each as often as it is there."""
    assert image_links(CONVERSATION) == (LINK, OTHER, OTHER, LINK, LINK)
    assert image_links(CONVERSATION[1:2]) == ()


def test_pictures_take_the_places_of_links() -> None:
    """Nothing else changes, and the order stays."""
    assert with_images(CONVERSATION, {"http://a/": A, "http://b/": B}) == (
        Message(Role.USER, (Text("1"), A, Text("2"), B)),
        CONVERSATION[1],
        Message(Role.USER, (ToolResult("c", (B, Text("3"), A)), A)),
        CONVERSATION[3],
    )


def test_no_link_is_forgotten() -> None:
    """A picture that is missing is an error, and so is a link that is to be sent."""
    with pytest.raises(KeyError):
        with_images(CONVERSATION, {"http://a/": A})
    with pytest.raises(TypeError):
        message_objects(CONVERSATION)


def test_a_conversation_is_known_by_its_pictures() -> None:
    """Another picture is another conversation, wherever it stands."""
    told = {
        history_digest("t", "m", "", (), with_images(CONVERSATION, {"http://a/": first, "http://b/": second}))
        for first in (A, B)
        for second in (A, B)
    }
    assert len({*told, history_digest("t", "m", "", (), CONVERSATION)}) == 5


def test_files_as_the_api_has_them() -> None:
    """A PDF is sent in base64, a text as it reads, each with its name if it has one."""
    parts = (
        Document("application/pdf", "JVBERi0=", "a.pdf"),
        Document("text/plain", "R3LDvMOfZQ=="),
        ToolResult("c", (Document("text/plain", "eA==", "b.txt"),)),
    )
    (message,) = message_objects([Message(Role.USER, parts)])

    pdf, text, result = message["content"]
    assert pdf == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "a.pdf",
    }
    assert text == {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}}
    assert result["content"] == [
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
            "title": "b.txt",
        }
    ]


def test_files_of_text_count_as_text() -> None:
    """``MAX_CHARACTERS`` cannot be got round by a file."""
    message = Message(Role.USER, (Document("text/plain", "A" * 400), Document("application/pdf", "A" * 4000)))

    ConversationSize(characters=300).check([message])
    with pytest.raises(InvalidValue):
        ConversationSize(characters=299).check([message])
