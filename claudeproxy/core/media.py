"""
What pictures and documents are, by their bytes.
"""

from __future__ import annotations

__all__ = ["IMAGE_TYPES", "MAX_IMAGE_BASE64", "MAX_IMAGE_BYTES", "PDF", "PLAIN_TEXT", "image_type", "is_pdf"]

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""The pictures that the model can see."""

PDF = "application/pdf"
PLAIN_TEXT = "text/plain"

MAX_IMAGE_BASE64 = 5 * 1024 * 1024
"""Characters of a picture in base64 that the Messages API takes: it is this form of it that the API measures."""

MAX_IMAGE_BYTES = MAX_IMAGE_BASE64 // 4 * 3
"""Bytes of the same."""

_PDF_HEADER_WITHIN = 1024
"""Bytes at the beginning of a PDF, in which readers look for its header."""


def image_type(data: bytes) -> str | None:
    """
    Return the media type of a picture, or None when it is none that the model can see.

    What a picture is declared to be says little: many clients declare every picture to be a JPEG.

    :param data: the picture, or its first bytes.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def is_pdf(data: bytes) -> bool:
    """
    Whether this is a PDF.
    """
    return b"%PDF-" in data[:_PDF_HEADER_WITHIN]
