"""
What stands for a value that may be large, where only its sameness counts.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

__all__ = ["json_digest"]


def json_digest(value: object) -> str:
    """
    Return the same for the same JSON, in whatever order its members are.
    """
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
