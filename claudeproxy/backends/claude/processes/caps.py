"""
How much a process may say.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Caps"]


@frozen
class Caps:
    """
    The limits of one process, in bytes.
    """

    output: int
    """The answer of one turn."""
    line: int
    """One line of stdout."""
    stderr: int
    """The end of stderr that is kept."""
