"""
Where an answer has what the model thought.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reasoning"]


class Reasoning(StrEnum):
    """
    The places for it in an answer of chat.
    """

    CONTENT = "content"
    """Beside the text, in fields of its own."""
    THINK_TAGS = "think-tags"
    """In the text, between tags."""
    OFF = "off"
    """Nowhere; the model may think unseen."""
