"""
Bodies of requests: what they are declared to be, and how they are encoded.
"""

# Twisted's web server has hardly any types.
# mypy: allow-untyped-calls

from __future__ import annotations

import re
import zlib

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from claudeproxy.errors import InvalidJSON, UnsupportedMediaType
from claudeproxy.web.request import ProxyRequest

__all__ = ["JSONBody", "read_json"]

_JSON_TYPE = re.compile(rb"application/(?:[^;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)

_CODINGS = "gzip, deflate, identity"
"""What is decoded, for ``Accept-Encoding`` (RFC 9110, section 12.5.3)."""
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""The forms that zlib reads."""

_SLICE = 1024 * 1024
"""Bytes that are inflated at a time, which takes some milliseconds; others are served between two slices."""

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\0")
"""How JSON begins in UTF-16 and UTF-32."""


@frozen
class JSONBody:
    """
    A body that is to be JSON; whether it is, its decoder finds out.
    """

    raw: bytes
    """As it came, for an upstream."""
    text: bytes
    """Without content coding and byte order mark, for readers here."""
    encoded: bool
    """Whether ``raw`` has a content coding."""


async def read_json(request: ProxyRequest, clock: IReactorTime) -> JSONBody:
    """
    Read the body of a request that is to be JSON.

    :raises UnsupportedMediaType: the client says that it is something else, or in a coding that is not read here.
    :raises InvalidJSON: it is not in the coding that the client says, or not in UTF-8.
    :raises RequestTooLarge: it is over the cap when it is decoded; no more than that is inflated.
    """
    declared = request.header(b"Content-Type")
    if declared is not None and _JSON_TYPE.fullmatch(declared) is None:
        raise UnsupportedMediaType("The Content-Type of the body must be application/json.")
    raw: bytes = request.content.read()
    lines = request.headers(b"Content-Encoding")
    codings = [name for line in lines for coding in line.split(b",") if (name := coding.strip().lower())]
    codings = [coding for coding in codings if coding != b"identity"]
    text = await _decoded(request, raw, codings, clock) if codings else raw
    if text.startswith(_OTHER_BOMS) or text[1:2] == b"\0":
        raise InvalidJSON("The body must be JSON in UTF-8.")
    return JSONBody(raw, text.removeprefix(_BOM), bool(codings))


async def _decoded(request: ProxyRequest, raw: bytes, codings: list[bytes], clock: IReactorTime) -> bytes:
    (coding, *more) = codings
    if more or coding not in (b"gzip", b"x-gzip", b"deflate"):
        raise UnsupportedMediaType(
            f"The Content-Encoding of the body must be one of {_CODINGS}.", headers=(("Accept-Encoding", _CODINGS),)
        )
    # What is called deflate is zlib's form by the standard, and raw by some clients.
    framed = len(raw) > 1 and raw[0] & 15 == 8 and int.from_bytes(raw[:2], "big") % 31 == 0
    decoder = zlib.decompressobj(_GZIP if coding != b"deflate" else _ZLIB if framed else _RAW)
    most = request.site.max_body_bytes
    pieces: list[bytes] = []
    size = 0
    rest = raw
    while not decoder.eof:
        try:
            piece = decoder.decompress(rest, _SLICE)
        except zlib.error:
            break
        rest = decoder.unconsumed_tail
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise request.site.too_large()
        if not piece and not rest:
            break
        if len(piece) == _SLICE:
            await deferLater(clock, 0)
    if not decoder.eof or decoder.unused_data:
        raise InvalidJSON(f"The body is not valid {coding.decode('ascii')}, as its Content-Encoding says that it is.")
    return b"".join(pieces)
