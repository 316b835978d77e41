"""
How the backends are.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["ChatHealth", "UpstreamHealth", "UsageLimit"]


@frozen
class UsageLimit:
    """
    How an account stands with one of its usage limits, as the API last said.
    """

    kind: str
    """Which limit: ``five_hour``, ``seven_day``, ...; empty where it was not said."""
    status: str
    """``allowed``, ``allowed_warning`` or ``rejected``."""
    resets_at: float | None
    """Seconds since the epoch."""
    utilization: float | None = None
    """How much of it is used, 1 being all."""


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
    usage_limits: tuple[UsageLimit, ...] = ()
    """The account's limits that are near or reached."""


@frozen
class UpstreamHealth:
    """
    What is known of an upstream without asking it.
    """

    status: str
    """``ok``, ``no_key`` or ``disabled``."""
    breaker: str = "closed"
    """``closed``, ``open`` or ``half_open``."""
    failures: int = 0
    """Those in a row that the breaker counts."""
