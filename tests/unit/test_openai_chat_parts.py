"""
Pictures and files in the messages of Chat Completions.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.chat import Document, Image, ImageLink, Message, Role, Text, ToolResult
from claudeproxy.core.media import MAX_IMAGE_BYTES, image_type
from claudeproxy.errors import ClaudeProxyError, InvalidValue, MissingParameter, UnsupportedParameter
from claudeproxy.wire.openai_chat import decode_request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(20))
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
GIF = b"GIF89a" + bytes(20)
WEBP = b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8)
PICTURES = {"image/png": PNG, "image/jpeg": JPEG, "image/gif": GIF, "image/webp": WEBP}
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(30)

URL = "messages[0].content[0].image_url.url"
FILE = "messages[0].content[0].file.file_data"


def base64(data: bytes) -> str:
    """Bytes as a client writes them."""
    return b64encode(data).decode()


def data_url(media_type: str, data: bytes) -> str:
    """A data URL."""
    return f"data:{media_type};base64,{base64(data)}"


def decoded(*messages: dict[str, Any]) -> tuple[Message, ...]:
    """What a request's messages are."""
    return decode_request(json.dumps({"model": "sonnet", "messages": messages}).encode()).messages


def user(*parts: Any) -> Any:
    """What a user's parts are."""
    (message,) = decoded({"role": "user", "content": parts})
    assert message.role is Role.USER
    return message.parts


def image(url: Any) -> Any:
    """What a picture becomes."""
    (part,) = user({"type": "image_url", "image_url": {"url": url, "detail": "high"}})
    return part


def file(**fields: Any) -> Any:
    """What a file becomes."""
    (part,) = user({"type": "file", "file": fields})
    return part


def refused(kind: type[ClaudeProxyError], param: str, *messages: dict[str, Any]) -> str:
    """The words of an error that names the parameter."""
    with pytest.raises(kind) as raised:
        decoded(*messages)
    assert raised.value.param == param
    return raised.value.message


def refused_part(kind: type[ClaudeProxyError], param: str, part: dict[str, Any]) -> str:
    """The same for one part of a user's message."""
    return refused(kind, param, {"role": "user", "content": [part]})


def refused_url(url: str) -> str:
    """The same for a picture's URL."""
    return refused_part(InvalidValue, URL, {"type": "image_url", "image_url": {"url": url}})


@pytest.mark.parametrize("media_type", PICTURES)
def test_a_picture_in_a_data_url(media_type: str) -> None:
    """Each kind of picture that the model can see keeps its base64 as it came."""
    data = PICTURES[media_type]
    assert image(data_url(media_type, data)) == Image(media_type, base64(data))


@pytest.mark.parametrize(
    "url",
    [
        "DATA:Image/PNG;Base64," + base64(PNG),
        "data:image/png;charset=utf-8;base64," + base64(PNG),
        "data:image/png; base64," + base64(PNG),
        "  data:image/png;base64," + base64(PNG) + "\n",
    ],
)
def test_the_spellings_of_a_data_url(url: str) -> None:
    """Case, parameters and blanks play no part."""
    assert image(url) == Image("image/png", base64(PNG))


def test_base64_that_was_wrapped_or_escaped() -> None:
    """Line ends, as command line tools make them, and escapes of URLs are taken out; the API would refuse them."""
    data = PNG + b"\xfb\xff\xfe" * 40
    text = base64(data)
    wrapped = "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76)) + "\n"
    escaped = text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")

    assert "%" in escaped
    for written in (wrapped, escaped):
        assert image("data:image/png;base64," + written) == Image("image/png", text)


def test_the_bytes_say_what_a_picture_is() -> None:
    """A PNG that is called a JPEG is a PNG: the API would refuse it for the mistake."""
    assert image(data_url("image/jpeg", PNG)) == Image("image/png", base64(PNG))
    assert image(data_url("image/jpg", JPEG)) == Image("image/jpeg", base64(JPEG))


def test_a_link_is_left_for_later() -> None:
    """An http or https URL of any case becomes a link that knows where it stood; a bare string is one as well."""
    parts = user(
        {"type": "text", "text": "Compare."},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?x=1#y"}},
        {"type": "image_url", "image_url": "HTTP://example.com/b.png"},
    )

    assert parts == (
        Text("Compare."),
        ImageLink("https://example.com/a.png?x=1#y"),
        ImageLink("HTTP://example.com/b.png"),
    )
    assert [part.param for part in parts[1:]] == [
        "messages[0].content[1].image_url.url",
        "messages[0].content[2].image_url",
    ]


def test_what_a_function_returns_may_have_pictures() -> None:
    """The result of a call has its texts, pictures and files in their order."""
    call = {"id": "c", "type": "function", "function": {"name": "see", "arguments": "{}"}}
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": data_url("image/gif", GIF)}},
        {"type": "image_url", "image_url": {"url": "http://example.com/"}},
        {"type": "file", "file": {"file_data": base64(PDF)}},
    ]
    messages = decoded(
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": parts},
    )

    (result,) = messages[-1].parts
    assert result == ToolResult(
        "c",
        (
            Text("Look:"),
            Image("image/gif", base64(GIF)),
            ImageLink("http://example.com/"),
            Document("application/pdf", base64(PDF)),
        ),
    )


def test_a_pdf() -> None:
    """A PDF is a document with its name, as a data URL and as the base64 alone; rubbish before its header is usual."""
    whole = Document("application/pdf", base64(PDF), "a.pdf")
    later = b"\n\n" + PDF

    assert file(file_data=data_url("application/pdf", PDF), filename="a.pdf") == whole
    assert file(file_data=data_url("Application/X-PDF", PDF), filename="a.pdf", file_id=None) == whole
    assert file(file_data=base64(PDF)) == Document("application/pdf", base64(PDF))
    assert file(file_data=base64(later)) == Document("application/pdf", base64(later))


def test_a_text() -> None:
    """A text of any kind is a document that the model reads as it is, whatever it speaks of."""
    text = "Die Datei beginnt mit %PDF-, schön.".encode()

    assert file(file_data=data_url("text/markdown", text), filename="a.md") == Document(
        "text/plain", base64(text), "a.md"
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "a data URL with a picture in base64, or an http or https URL"),
        ("ftp://example.com/a.png", "an http or https URL"),
        ("file:///etc/passwd", "an http or https URL"),
        ("a.png", "an http or https URL"),
        (base64(PNG), "an http or https URL"),
        ("data:", "a data URL in base64, such as data:image/png;base64,..."),
        ("data:image/png,abc", "a data URL in base64"),
        ("data:image/png;base64", "a data URL in base64"),
        (f"data:image/png{base64(PNG)}", "a data URL in base64"),
        ("data:image/png;base64,", "which is missing"),
        ("data:image/png;base64,\n", "which is missing"),
        ("data:image/png;base64,!!!!", "data in base64, whole"),
        (f"data:image/png;base64,{base64(PNG)[:-2]}", "data in base64, whole"),
        (f"data:image/png;base64,{base64(PNG)}{base64(PNG)}", "data in base64, whole"),
        ("data:image/png;base64,-_8=", "data in base64, whole"),
        ("data:image/png;base64,Bücher==", "data in base64, whole"),
        (data_url("image/bmp", b"BM" + bytes(20)), "image/png, image/jpeg, image/gif, image/webp"),
        (data_url("image/svg+xml", b"<svg/>"), "image/png, image/jpeg, image/gif, image/webp"),
        (data_url("", PNG), "a picture of type image/png"),
        (data_url("text/plain", PNG), "a picture of type image/png"),
        (data_url("application/pdf", PDF), "a PDF is sent as a part of type 'file'"),
        (data_url("image/png", b"BM" + bytes(20)), "which the data is not"),
        (data_url("image/webp", b"RIFF\x10\0\0\0WAVEfmt "), "which the data is not"),
        (data_url("image/png", PDF), "which the data is not"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_no_picture_is_refused(url: str, told: str) -> None:
    """Broken base64, another type, and bytes that are no picture: the parameter is named, with what is allowed."""
    assert told in refused_url(url)


def test_the_largest_picture() -> None:
    """A picture may have as many bytes as the API takes, and not one more."""
    largest = PNG + bytes(MAX_IMAGE_BYTES - len(PNG))

    assert len(image(data_url("image/png", largest)).data) == 5 * 1024 * 1024
    assert "at most 3932160 bytes" in refused_url(data_url("image/png", largest + b"\0"))
    assert "at most 3932160 bytes" in refused_url("data:image/png;base64," + "!" * (11 * 1024 * 1024))


@pytest.mark.parametrize(
    ("fields", "kind", "param", "told"),
    [
        ({}, MissingParameter, FILE, "file_data"),
        ({"filename": "a.pdf"}, MissingParameter, FILE, "file_data"),
        ({"file_id": "file-1"}, UnsupportedParameter, FILE.replace("file_data", "file_id"), "as 'file_data'"),
        ({"file_data": ""}, InvalidValue, FILE, "which is missing"),
        ({"file_data": "data:application/pdf;base64,"}, InvalidValue, FILE, "which is missing"),
        ({"file_data": "data:application/pdf,x"}, InvalidValue, FILE, "data:application/pdf;base64,..."),
        ({"file_data": "%%%"}, InvalidValue, FILE, "data in base64, whole"),
        ({"file_data": base64(b"Hello")}, InvalidValue, FILE, "the data is no PDF"),
        ({"file_data": data_url("application/pdf", PNG)}, InvalidValue, FILE, "the data is no PDF"),
        ({"file_data": data_url("application/zip", b"PK")}, InvalidValue, FILE, "of type application/pdf or text/..."),
        ({"file_data": data_url("image/png", PNG)}, InvalidValue, FILE, "of type application/pdf or text/..."),
        ({"file_data": data_url("text/plain", b"\xff")}, InvalidValue, FILE, "a text in UTF-8"),
    ],
)
def test_what_is_no_file_is_refused(
    fields: dict[str, Any], kind: type[ClaudeProxyError], param: str, told: str
) -> None:
    """What is missing, what cannot be had here, and what is no document: the parameter is named."""
    assert told in refused_part(kind, param, {"type": "file", "file": fields})


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "messages[0].content[0].image_url"),
        ({"type": "image_url", "image_url": {}}, URL),
        ({"type": "image_url", "image_url": None}, "messages[0].content[0].image_url"),
        ({"type": "file"}, "messages[0].content[0].file"),
    ],
)
def test_what_a_part_lacks_is_named(part: dict[str, Any], param: str) -> None:
    """A part without that which it is about is refused by name."""
    refused_part(MissingParameter, param, part)


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
@pytest.mark.parametrize("kind", ["image_url", "file"])
def test_only_users_and_functions_show_pictures(role: str, kind: str) -> None:
    """In other messages the types that are allowed are named."""
    part = {"type": kind, "image_url": {"url": data_url("image/png", PNG)}, "file": {"file_data": base64(PDF)}}
    message = {"role": role, "content": [{"type": "text", "text": "x"}, part]}
    told = refused(InvalidValue, "messages[1].content[1].type", {"role": "user", "content": "x"}, message)

    assert told.endswith("one of 'text', 'refusal'." if role == "assistant" else "one of 'text'.")


def test_an_unknown_type_is_told_what_there_is() -> None:
    """A user's message names all that it may have."""
    told = refused_part(InvalidValue, "messages[0].content[0].type", {"type": "video_url"})

    assert told.endswith("one of 'text', 'image_url', 'file'.")


@pytest.mark.parametrize("role", ["user", "system"])
def test_sound_cannot_be_sent(role: str) -> None:
    """The model does not hear."""
    message = {"role": role, "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}
    refused(UnsupportedParameter, "messages[0].content[0]", message, {"role": "user", "content": "x"})


def test_wrong_types_are_told() -> None:
    """A picture that is a number is refused like any other wrong type."""
    part = {"type": "image_url", "image_url": 5}
    told = refused_part(InvalidValue, "messages[0].content[0].image_url", part)

    assert "expected a string or an object, got an integer" in told


@given(st.sampled_from(sorted(PICTURES)), st.binary(max_size=200))
def test_every_picture_arrives_to_the_byte(media_type: str, rest: bytes) -> None:
    """Whatever follows a picture's first bytes, the model gets them all, and the right type."""
    data = PICTURES[media_type] + rest
    part = image(data_url("image/png", data))

    assert (part.media_type, b64decode(part.data)) == (media_type, data)


@given(st.binary(max_size=30))
def test_other_bytes_are_no_picture(data: bytes) -> None:
    """Bytes that do not begin as a picture does have no type."""
    if not data.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        assert image_type(data) is None


@given(st.text(max_size=40), st.sampled_from(["image_url", "file"]))
def test_any_text_is_understood_or_refused(text: str, kind: str) -> None:
    """No URL and no data crash the decoder."""
    for value in (text, f"data:{text}", f"data:image/png;base64,{text}"):
        part = {"type": kind, "image_url": value, "file": {"file_data": value}}
        try:
            user(part)
        except ClaudeProxyError as error:
            assert error.status == 400 and error.param is not None
