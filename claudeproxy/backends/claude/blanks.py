"""
What the CLI takes for a text that says nothing.
"""

from __future__ import annotations

__all__ = ["is_blank"]

_BLANKS = "\ufeff" + "".join(character for character in map(chr, range(0x3001)) if character.isspace())
"""What Python takes for blank, and the one character besides that JavaScript does, which the CLI is written in."""


def is_blank(text: str) -> bool:
    """
    Whether there is nothing in a text but what may be taken for blank.
    """
    return not text.strip(_BLANKS)
