"""
What a process has seen of its conversation, as far as the next turn depends on it.
"""

from __future__ import annotations

from attrs import define

__all__ = ["Seen"]


@define
class Seen:
    """
    Kept by whoever runs the turns of a process.
    """

    needs_history: bool = False
    """Whether it is not the conversation, so that each turn has to bring all of that."""
    keeps: object = None
    """Of its settings, what the turn that it is parked in cannot change."""
    thoughts: int = 0
    """How many answers had thoughts; the model gets these again from it."""
    head: bytes = b""
    """A digest of what the model was told before all messages, when it had the last of these thoughts."""
