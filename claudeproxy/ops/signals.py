"""
The signals that end the daemon.

Left to itself, Twisted ends a process that was told to stop by raising the signal once more, so that a supervisor sees
it killed. Here a clean stop is an exit with status 0, and whoever asks twice does not have to wait.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from attrs import define, field

__all__ = ["StopSignals"]


@define
class StopSignals:
    """
    Stops at the first ``SIGTERM``, ``SIGINT`` or ``SIGHUP`` (a closed terminal), and ends at once at the second.
    """

    _stop: Callable[[], None]
    """Begins a graceful stop; it is called from a signal handler."""
    _abandon: Callable[[], None]
    """Does what must not be left undone when the process ends now."""
    _told: bool = field(init=False, default=False)

    def install(self) -> None:
        """
        Take the place of whatever handled these signals. To be called when the reactor runs, from the main thread.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            try:
                self._abandon()
            finally:
                os._exit(1)
        self._told = True
        self._stop()
