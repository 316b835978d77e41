"""
Bodies of an upstream's errors, without the secrets that some upstreams quote in them: the key that was sent, most of
all, which is the server's and not the client's.

Only secrets change. A body without any goes on as it came, compressed or not.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from claudeproxy.errors import BackendError
from claudeproxy.ops.redaction import redact_secrets
from claudeproxy.wire.headers import HeaderPairs

__all__ = ["MOST_BYTES", "without_secrets"]

MOST_BYTES = 256 * 1024
"""Of the body of an error, before and after it is decompressed. A longer one cannot be looked at in time."""

_SHORTEST_KEY = 8
"""Characters from which on a configured key is looked for as it is: a shorter one may be a word."""

_WINDOW_BITS = {b"gzip": (16 + zlib.MAX_WBITS,), b"x-gzip": (16 + zlib.MAX_WBITS,), b"deflate": (zlib.MAX_WBITS, -15)}
"""For zlib, by content coding. What is called deflate comes with zlib's frame, and without."""


def without_secrets(headers: HeaderPairs, body: bytes, key: str | None) -> tuple[HeaderPairs, bytes]:
    """
    Return the headers and the body of an error without secrets.

    :param headers: those for the client.
    :param key: the one that was sent to the upstream.
    :raises BackendError: the body is compressed in a way that cannot be looked into.
    """
    codings = [
        coding.strip().lower()
        for name, value in headers
        if name.lower() == b"content-encoding"
        for coding in value.split(b",")
    ]
    plain = _decoded(body, [coding for coding in codings if coding not in (b"", b"identity")]) if body else body
    # Each byte is a character, so that whatever is no secret stays as it is.
    text = plain.decode("latin-1")
    clean = redact_secrets(text, (key,) if key is not None and len(key) >= _SHORTEST_KEY else ())
    if clean == text:
        return headers, body
    data = clean.encode("latin-1")
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-length", b"content-encoding")]
    return [*kept, (b"Content-Length", b"%d" % len(data))], data


def _decoded(body: bytes, codings: Sequence[bytes]) -> bytes:
    """
    :raises BackendError: it cannot be decoded, or is too long then.
    """
    for coding in reversed(codings):
        decoded = (_inflated(body, bits) for bits in _WINDOW_BITS.get(coding, ()))
        found = next((each for each in decoded if each is not None), None)
        if found is None:
            raise BackendError("The upstream answered with an error whose body could not be checked for secrets.")
        body = found
    return body


def _inflated(body: bytes, bits: int) -> bytes | None:
    """
    Return a body decompressed, all members of it; None where it is not of this form, or longer than may be.
    """
    pieces: list[bytes] = []
    while body:
        decoder = zlib.decompressobj(bits)
        try:
            pieces.append(decoder.decompress(body, MOST_BYTES))
        except zlib.error:
            return None
        if not decoder.eof or sum(map(len, pieces)) > MOST_BYTES:
            return None
        body = decoder.unused_data
    return b"".join(pieces)
