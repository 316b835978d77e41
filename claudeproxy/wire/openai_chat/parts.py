"""
The parts of a message's content: texts, pictures and files.

What a picture or a file is, its bytes say; what it is declared to be must be something that can be sent, and no more
than that. OpenAI's own API looks at the bytes too, so clients are careless: many declare every picture to be a JPEG,
and the Messages API would refuse a PNG that is called so.
"""

from __future__ import annotations

from binascii import a2b_base64

from claudeproxy.core.chat import Document, Image, ImageLink, Text
from claudeproxy.core.media import (
    IMAGE_TYPES,
    MAX_IMAGE_BASE64,
    MAX_IMAGE_BYTES,
    PDF,
    PLAIN_TEXT,
    image_type,
    is_pdf,
)
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.openai_chat.schema import ContentPart, FileData
from claudeproxy.wire.validation import invalid, missing, not_taken, unsupported

__all__ = ["Said", "any_parts", "text_parts"]

Said = Text | Image | ImageLink | Document
"""What a user can say, and a function return."""

_SYNONYMS = {"image/jpg": "image/jpeg", "application/x-pdf": PDF}

_PICTURES = "a picture of type " + ", ".join(IMAGE_TYPES)
_FILES = f"a data URL of type {PDF} or text/..., or the base64 of a PDF"

_ESCAPES = (("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "="))
"""What of base64 a URL may have escaped."""


def text_parts(content: str | list[ContentPart], param: str, *, refusals: bool = False) -> tuple[Text, ...]:
    """
    Decode the content of a message that can only be text.

    :param refusals: whether parts of type ``refusal`` are allowed, which an assistant's message can have.
    :raises ClaudeProxyError: with status 400; it names the part.
    """
    if isinstance(content, str):
        return (Text(content),) if content else ()
    kinds = ("text", "refusal") if refusals else ("text",)
    return tuple(_text(part, f"{param}[{index}]", kinds) for index, part in enumerate(content))


def any_parts(content: str | list[ContentPart], param: str) -> tuple[Said, ...]:
    """
    Decode the content of a message that can have pictures and files.

    :raises ClaudeProxyError: with status 400; it names the part.
    """
    if isinstance(content, str):
        return text_parts(content, param)
    return tuple(_any(part, f"{param}[{index}]") for index, part in enumerate(content))


def _any(part: ContentPart, param: str) -> Said:
    if part.type == "image_url":
        return _image(part, f"{param}.image_url")
    if part.type == "file":
        if part.file is None:
            raise missing(f"{param}.file")
        return _document(part.file, f"{param}.file")
    return _text(part, param, ("text", "image_url", "file"))


def _text(part: ContentPart, param: str, kinds: tuple[str, ...]) -> Text:
    if part.type == "input_audio":
        raise unsupported(param, "parts of type 'input_audio' cannot be sent")
    if part.type not in kinds:
        raise invalid(f"{param}.type", "one of " + ", ".join(f"'{kind}'" for kind in kinds))
    text = part.refusal if part.type == "refusal" else part.text
    if text is None:
        raise missing(f"{param}.{part.type}")
    return Text(text)


# -- Pictures -----------------------------------------------------------------


def _image(part: ContentPart, param: str) -> Image | ImageLink:
    if part.image_url is None:
        raise missing(param)
    if isinstance(part.image_url, str):
        url = part.image_url.strip()
    else:
        url, param = part.image_url.url.strip(), f"{param}.url"
    scheme = url[:8].partition(":")[0].lower()
    if scheme in ("http", "https"):
        return ImageLink(url, param)
    if scheme != "data":
        raise invalid(param, "a data URL with a picture in base64, or an http or https URL")
    declared, data = _split(url, param, "data:image/png;base64,...")
    if declared not in IMAGE_TYPES:
        hint = "; a PDF is sent as a part of type 'file'" if declared == PDF else ""
        raise invalid(param, f"{_PICTURES}{hint}")
    if len(data) > 2 * MAX_IMAGE_BASE64:
        # Not even when all that is not base64 were left out.
        raise _too_large(param)
    data, decoded = _decoded(data, param)
    if len(data) > MAX_IMAGE_BASE64:
        raise _too_large(param)
    actual = image_type(decoded)
    if actual is None:
        raise invalid(param, f"{_PICTURES}, which the data is not")
    return Image(actual, data)


def _too_large(param: str) -> ClaudeProxyError:
    return not_taken(param, f"a picture of at most {MAX_IMAGE_BYTES} bytes, which are {MAX_IMAGE_BASE64} in base64")


# -- Files --------------------------------------------------------------------


def _document(file: FileData, param: str) -> Document:
    if file.file_data is None:
        if file.file_id is not None:
            raise unsupported(f"{param}.file_id", "files cannot be referred to; send the file itself as 'file_data'")
        raise missing(f"{param}.file_data")
    param = f"{param}.file_data"
    given = file.file_data.strip()
    # OpenAI's documentation has data URLs, but many clients send the base64 alone.
    declared, data = _split(given, param, f"data:{PDF};base64,...") if given[:5].lower() == "data:" else (PDF, given)
    if declared != PDF and not declared.startswith("text/"):
        raise not_taken(param, _FILES)
    data, decoded = _decoded(data, param)
    title = file.filename or ""
    if declared == PDF:
        if not is_pdf(decoded):
            raise invalid(param, f"{_FILES}; the data is no PDF")
        return Document(PDF, data, title)
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise invalid(param, "a text in UTF-8") from None
    return Document(PLAIN_TEXT, data, title)


# -- Data URLs ----------------------------------------------------------------


def _split(url: str, param: str, example: str) -> tuple[str, str]:
    """
    Return the media type that a data URL (RFC 2397) declares, and its data.
    """
    head, comma, data = url.partition(",")
    media_type, *parameters = (piece.strip().lower() for piece in head[len("data:") :].split(";"))
    if not comma or "base64" not in parameters:
        raise invalid(param, f"a data URL in base64, such as {example}")
    return _SYNONYMS.get(media_type, media_type), data


def _decoded(data: str, param: str) -> tuple[str, bytes]:
    """
    Return data as the API wants it, in base64 and nothing else, and the bytes that it stands for.
    """
    try:
        decoded = a2b_base64(data, strict_mode=True)
    except ValueError:
        # Command line tools break it into lines, and what makes URLs may escape it.
        for escape, character in _ESCAPES:
            data = data.replace(escape, character)
        try:
            data = data.encode("ascii").translate(None, b" \t\r\n").decode("ascii")
            decoded = a2b_base64(data, strict_mode=True)
        except ValueError:
            raise invalid(param, "data in base64, whole and without other characters") from None
    if not decoded:
        raise invalid(param, "data in base64, which is missing")
    return data, decoded
