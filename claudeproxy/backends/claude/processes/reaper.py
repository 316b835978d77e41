"""
Ending a process for certain: stdin closed, TERM, KILL, on the whole process group.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Protocol

from attrs import define, field
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["KILL_AFTER", "TERM_AFTER", "IMortal", "Reaper", "signal_group"]

TERM_AFTER = 1.0
"""Seconds that a process has to end by itself once its stdin is closed; the CLI takes 0.04 of them."""
KILL_AFTER = 2.0
"""Seconds from TERM to KILL."""
_LET_GO_AFTER = 1.0
"""Seconds from KILL to giving up on pipes that somebody outside the group holds open."""


class _Child(Protocol):
    """
    What is needed of a process's transport.
    """

    def signalProcess(self, signalID: int) -> None: ...


def signal_group(child: _Child, leader: int, number: int) -> None:
    """
    Send a signal to all that is left of a child's process group, whose end has not been seen.

    :param leader: the child's own id, which is the group's.
    """
    try:
        # The number stays taken while any member of the group lives.
        os.killpg(leader, number)
    except ProcessLookupError:
        # Between the start and setsid there is no such group yet.
        with suppress(ProcessExitedAlready):
            child.signalProcess(number)
    except PermissionError:
        # What macOS says of a group of zombies.
        return


class IMortal(Protocol):
    """
    What the reaper needs of a process.
    """

    def close_stdin(self) -> None:
        """Ask it to end by itself."""

    def signal_group(self, number: int) -> None:
        """Send a signal to all that is left of its process group."""

    def let_go(self) -> None:
        """Close our ends of its pipes."""


@define(eq=False)
class Reaper:
    """
    The ladder of one process. :meth:`finished` must be called when the process has ended, pipes and all.

    The signals go to the group, because a child of the CLI may hold its stdout open; then the CLI's own end is not the
    end, and its place is not free.
    """

    _process: IMortal
    _clock: IReactorTime
    _call: IDelayedCall | None = field(init=False, default=None)

    def start(self) -> None:
        """
        Begin; a second call changes nothing.
        """
        if self._call is None:
            self._process.close_stdin()
            self._call = self._clock.callLater(TERM_AFTER, self._term)

    def hurry(self) -> None:
        """
        Kill now.
        """
        self.finished()
        self._kill()

    def finished(self) -> None:
        """
        Stop: there is nothing left to end.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _term(self) -> None:
        self._process.signal_group(signal.SIGTERM)
        self._call = self._clock.callLater(KILL_AFTER, self._kill)

    def _kill(self) -> None:
        self._process.signal_group(signal.SIGKILL)
        self._call = self._clock.callLater(_LET_GO_AFTER, self._process.let_go)
