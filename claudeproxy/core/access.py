"""
Who sends a request, as far as the rest of the house needs to know.
"""

from __future__ import annotations

from hashlib import sha256

from attrs import frozen

__all__ = ["OPEN_DOOR", "KeyPolicy", "key_digest"]


@frozen
class KeyPolicy:
    """
    What an API key stands for. The key itself is never in it.
    """

    key_id: str
    """Opaque and stable: the tenant whose sessions, processes and usage these are."""
    name: str
    """For logs and people."""


OPEN_DOOR = KeyPolicy(key_id="", name="")
"""Everybody, where no key exists."""


def key_digest(key: bytes) -> bytes:
    """
    Return what is kept and compared in the place of a key.
    """
    return sha256(key).digest()
