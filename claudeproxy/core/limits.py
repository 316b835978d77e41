"""
What a rate limit says to the client that it counts.

These are made with every request, hence the plainest of classes.
"""

from __future__ import annotations

from math import floor
from typing import NamedTuple

__all__ = ["Standing", "WindowCount"]


class Standing(NamedTuple):
    """
    Where a client stands with the limit that is nearest to its end.
    """

    limit: int
    """Requests in a window."""
    remaining: int
    """Requests that would be let in now."""
    reset: float
    """Seconds after which, without another request, nothing is counted any more."""


class WindowCount(NamedTuple):
    """
    What a sliding window counter knows of one client.

    Windows follow one another at fixed times. The requests of the one before the current count as much as of that
    window still lies within one length from now: at the current one's beginning all of them, at its end none.
    """

    length: int
    """Seconds."""
    previous: int
    previous_left: float
    """Seconds until the previous window counts nothing; 0 when it has no requests."""
    current: int
    current_left: float
    """Seconds until the current window counts nothing: the rest of it, and one length more."""

    def standing(self, limit: int) -> Standing:
        """
        Return what a client of a ``limit`` is told.
        """
        counted = self.previous * self.previous_left / self.length + self.current
        left = self.current_left if self.current else self.previous_left
        return Standing(limit, max(0, limit - floor(counted)), left)

    def wait(self, limit: int) -> float:
        """
        Return the seconds until there is room again; just after them, not at their end.
        """
        if self.current >= limit:
            return self.current_left - self.length
        if not self.previous:
            return 0.0
        return max(0.0, self.previous_left - (limit - self.current) * self.length / self.previous)
