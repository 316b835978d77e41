"""
The control requests of ours that one process has not answered.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from claudeproxy.wire.claude_cli import ControlResponse

__all__ = ["Control"]


@define
class Control:
    """
    Numbers the requests, hands on the answers, and sees to it that the first word comes in time.
    """

    _clock: IReactorTime
    _timeout: float
    """Seconds from the first request to the first word."""
    _write: Callable[[bytes], None]
    _silent: Callable[[], None]
    """Called when that word does not come."""
    _open: dict[str, Callable[[ControlResponse], None]] = field(init=False, factory=dict)
    _count: int = field(init=False, default=0)
    _timer: IDelayedCall | None = field(init=False, default=None)
    _heard: bool = field(init=False, default=False)

    def ask(self, line: Callable[[str], bytes], answered: Callable[[ControlResponse], None]) -> None:
        """
        Send a request.

        :param line: makes it, from its id.
        """
        if not self._heard and self._timer is None:
            self._timer = self._clock.callLater(self._timeout, self._silent)
        self._count += 1
        request_id = f"r{self._count}"
        self._open[request_id] = answered
        self._write(line(request_id))

    def answered(self, response: ControlResponse) -> None:
        """
        Hand on an answer; one that nobody waits for is nothing.
        """
        answered = self._open.pop(response.request_id, None)
        if answered is not None:
            answered(response)

    def heard(self) -> None:
        """
        The process has said something, or never will: nothing is waited for any more.
        """
        self._heard = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
