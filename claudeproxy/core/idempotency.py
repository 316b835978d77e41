"""
What makes two requests one, by the client's own word: its ``Idempotency-Key``.

The header is that of the IETF's draft of the same name, and what it means here is what clients know of it: a request
that is repeated under its key is answered with the first one's answer, and not done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from attrs import frozen

from claudeproxy.errors import InvalidHeaderValue

__all__ = ["KeptAnswer", "fingerprint", "read_key"]

_LONGEST_KEY = 255

_OWN_PREFIX = b"x-claude-"
_STEERING = frozenset({b"x-session-id", b"x-backend", b"x-openai-api-key"})
"""Headers besides ``X-Claude-*`` that choose who answers, in which session, and with whose credentials."""

_ENTRY = 1000
"""Bytes that a kept answer takes beside its body and its headers, near enough for a bound."""
_HEADER = 150
"""The same for each header."""


def read_key(values: Sequence[bytes]) -> bytes:
    """
    Return the key that a request has, which is nobody's but the client's to read: quotes, if any, are part of it.

    :param values: of all its headers ``Idempotency-Key``.
    :raises InvalidHeaderValue: when it is none, or when there are different ones.
    """
    key = values[0]
    if len(set(values)) > 1 or not 0 < len(key) <= _LONGEST_KEY or not key.isascii() or not key.decode().isprintable():
        raise InvalidHeaderValue(
            f"The header Idempotency-Key must be one value of 1 to {_LONGEST_KEY} printable ASCII characters.",
            param="Idempotency-Key",
        )
    return key


def fingerprint(path: bytes, headers: Iterable[tuple[bytes, Sequence[bytes]]], body: bytes) -> bytes:
    """
    Return a digest that is equal only for requests that ask for the same: same path and query, same body to the byte,
    same headers that steer.

    :param headers: all of the request's, with their values.
    """
    steering = sorted((name.lower(), values) for name, values in headers if _steers(name.lower()))
    # Neither a path nor a header can have a line break in it, so nothing passes for something else.
    lines = [path, *(name + b":" + value for name, values in steering for value in values), b"", b""]
    digest = blake2b(b"\n".join(lines), digest_size=32)
    digest.update(body)
    return digest.digest()


def _steers(name: bytes) -> bool:
    return name.startswith(_OWN_PREFIX) or name in _STEERING


@frozen
class KeptAnswer:
    """
    A whole answer, to be given again.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    """Those that tell of the answer, and not of the request that it was given to."""
    body: bytes
    backend: str
    """Who answered, as the other fields do say it."""
    upstream: str
    attempts: int
    model: str
    """The one that was asked for."""

    @property
    def size(self) -> int:
        """
        Bytes of memory that it takes, near enough for a bound.
        """
        return _ENTRY + len(self.body) + sum(len(name) + len(value) + _HEADER for name, value in self.headers)
