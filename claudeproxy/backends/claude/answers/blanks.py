"""
What the CLI, which is written in JavaScript, takes for a text that says nothing.
"""

from __future__ import annotations

__all__ = ["is_blank", "is_disputed"]

_JAVASCRIPT = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters that ``trim`` removes."""


def is_blank(text: str) -> bool:
    """
    Whether it or we may take a text for blank.
    """
    return not text.strip() or not text.strip(_JAVASCRIPT)


def is_disputed(text: str) -> bool:
    """
    Whether only one of it and us takes a text for blank: there are control characters that Python's ``strip`` removes,
    and a byte order mark, which it does not.
    """
    return bool(text.strip()) != bool(text.strip(_JAVASCRIPT))
