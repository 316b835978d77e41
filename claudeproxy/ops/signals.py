"""
The signals that the daemon listens to.

Left to itself, Twisted ends a process that was told to stop by raising the signal once more, so that a supervisor sees
it killed. Here a clean stop is an exit with status 0, and whoever asks twice does not have to wait.

``SIGHUP`` has two meanings: "your terminal is gone", from the system, and by custom "read your configuration again".
The terminal itself tells which one is meant: one that is gone is none any more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from attrs import define, field

__all__ = ["Signals"]

_STDIN = 0


def _has_terminal() -> bool:
    return os.isatty(_STDIN)


@define
class Signals:
    """
    Stops at the first ``SIGTERM`` or ``SIGINT``, or when the terminal that it was started in is closed, and ends at
    once at the second. Reloads at ``SIGHUP``.

    All that is given is called from a signal handler.
    """

    _stop: Callable[[], None]
    """Begins a graceful stop."""
    _abandon: Callable[[], None]
    """Does what must not be left undone when the process ends now."""
    _reload: Callable[[], None]
    """Reads the configuration again."""
    _had_terminal: bool = field(init=False, factory=_has_terminal)
    """Whether standard input was a terminal at the start."""
    _told: bool = field(init=False, default=False)

    def install(self) -> None:
        """
        Take the place of whatever handled these signals. To be called from the main thread, and again when the reactor
        runs, which takes some of them for itself.
        """
        signal.signal(signal.SIGTERM, self._told_to_stop)
        signal.signal(signal.SIGINT, self._told_to_stop)
        signal.signal(signal.SIGHUP, self._hung_up)

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            try:
                self._abandon()
            finally:
                os._exit(1)
        self._told = True
        self._stop()

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():
            self._told_to_stop(number, frame)
        elif not self._told:
            self._reload()
