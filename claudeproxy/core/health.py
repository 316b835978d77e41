"""
How a chat backend is.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["ChatHealth"]


@frozen
class ChatHealth:
    """
    What a chat backend that runs processes reports about itself.
    """

    status: str
    """``ok``, ``missing`` (there is no CLI) or ``failing`` (it does not start)."""
    detail: str | None
    """Why it is not ok, for the operator."""
    version: str | None
    """The CLI's, once it is known."""
    active: int
    """Turns that run."""
    max: int
    """Processes that there may be."""
    queued: int
    """Turns that wait for a place."""
    warm: int
    """Processes that wait for a conversation."""
    live: int
    """Processes with a conversation, its turn running or not."""
    parked: int
    """Processes that wait for the result of a client's tool."""
