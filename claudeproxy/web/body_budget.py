"""
How much the bodies of all requests under way may take, in memory and in temporary files: together, and per address.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from claudeproxy.errors import CapacityExceeded

__all__ = ["BodyBudget"]

_RETRY_AFTER = 1.0
"""Seconds; requests end all the time."""


@define(eq=False)
class BodyBudget:
    """
    Counts bytes that have come and whose requests are not over. Those only announced cost nothing.
    """

    _total: int
    """The most bytes of all; 0 is no limit."""
    _per_address: int
    """The most bytes of one address; 0 is no limit."""
    used: int = field(init=False, default=0)
    by_address: Counter[str] = field(init=False, factory=Counter)

    def take(self, address: str, size: int) -> None:
        """
        Charge an address with bytes that have come.

        :raises CapacityExceeded: there is no room for them; nothing is charged.
        """
        if self._per_address and self.by_address[address] + size > self._per_address:
            raise CapacityExceeded(
                f"The bodies of this address's requests under way have more than {self._per_address} bytes together.",
                retry_after=_RETRY_AFTER,
            )
        if self._total and self.used + size > self._total:
            raise CapacityExceeded(
                f"The bodies of all requests under way have more than {self._total} bytes together.",
                retry_after=_RETRY_AFTER,
            )
        self.used += size
        self.by_address[address] += size

    def give_back(self, address: str, size: int) -> None:
        """
        The request that brought so many bytes is over.
        """
        self.used -= size
        self.by_address[address] -= size
        if not self.by_address[address]:
            del self.by_address[address]
