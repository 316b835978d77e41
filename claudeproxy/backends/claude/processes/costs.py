"""
What a process costs, and which answer each cent belongs to.

The CLI counts by its own list of prices, and tells the total since the process started in the line that ends a turn.
Before a turn goes on that waits for the client's functions, it has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from claudeproxy.backends.claude.processes.control import Control
from claudeproxy.wire.claude_cli import ControlResponse, ask_cost, session_cost

__all__ = ["Costs"]

_PATIENCE = 2.0
"""Seconds that the end of an answer waits for its cost at most; the CLI takes some 5 ms to tell it."""
_DIGITS = 10
"""Of a dollar, behind the point; the cheapest token costs some 3e-8. What lies beyond is the noise of the sums."""


@define
class Costs:
    """
    Charges each answer of one process with what the total has grown by since the one before. So nothing is charged
    twice, and what an answer was not charged with, because its cost was not known in time, a later one is.
    """

    _control: Control
    _clock: IReactorTime
    _asks: bool
    """Whether the process is asked. With its own login the CLI would first ask Anthropic how the account stands."""
    _charged: float = field(init=False, default=0.0)
    _patience: IDelayedCall | None = field(init=False, default=None)

    def charge(self, total: float) -> float:
        """
        Return what is to be charged, in USD, now that the process has cost so much.
        """
        cost = round(max(0.0, total - self._charged), _DIGITS)
        self._charged = max(total, self._charged)
        return cost

    def ask(self, told: Callable[[float | None], None]) -> None:
        """
        Find out what is to be charged now; ``told`` is called once, with None when that cannot be known.
        """
        if not self._asks:
            told(None)
            return

        def answered(response: ControlResponse) -> None:
            if patience.active():
                patience.cancel()
                total = session_cost(response)
                told(None if total is None else self.charge(total))

        self._patience = patience = self._clock.callLater(_PATIENCE, told, None)
        self._control.ask(ask_cost, answered)

    def close(self) -> None:
        """
        The process is gone: nothing is waited for any more.
        """
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
