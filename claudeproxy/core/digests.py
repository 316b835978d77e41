"""
Digests: what stands for values that may be large, where only their sameness counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

__all__ = ["digest_of", "json_digest"]


def digest_of(parts: Iterable[str]) -> bytes:
    """
    Return 32 bytes that are equal only for the same texts in the same order.
    """
    digest = sha256()
    for part in parts:
        data = part.encode()
        # Each part is preceded by its length: ("ab", "c") and ("a", "bc") are different.
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()


def json_digest(value: object) -> str:
    """
    Return a text that is the same for the same JSON, in whatever order its members are.
    """
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
