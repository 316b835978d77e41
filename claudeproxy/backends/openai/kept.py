"""
An answer that is kept from the client, because another try may make a better one.
"""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer, IReactorTime

from claudeproxy.backends.openai.failures import refused
from claudeproxy.core.relay import Refusal
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.headers import HeaderPairs

__all__ = ["KeptAnswer"]

_MOST_BYTES = 64 * 1024
_TIME_LIMIT = 2.0
"""Seconds that the body of an error may take from its head to its end: nobody waits for it but us."""


class KeptAnswer:
    """
    Collects the body of an answer that is an error, which is short.

    One that is too long or too slow is cut: its connection is dropped, and an error of our own takes its place.
    """

    def __init__(self, status: int, headers: HeaderPairs, flow: IPushProducer, clock: IReactorTime) -> None:
        """
        :param headers: those that travel to the client.
        :param flow: stopping it abandons the exchange, which then fails with ``CancelledError``.
        """
        self.was_cut = False
        self.status = status
        self._headers = headers
        self._body = bytearray()
        self._flow = flow
        self._timer = clock.callLater(_TIME_LIMIT, self._cut)

    def add(self, data: bytes) -> None:
        """
        Take the next bytes of the body.
        """
        self._body += data
        if len(self._body) > _MOST_BYTES:
            self._cut()

    def over(self) -> None:
        """
        The exchange has ended, in whatever way.
        """
        if self._timer.active():
            self._timer.cancel()

    def refusal(self) -> Refusal:
        """
        Return what was kept of an answer that is complete.
        """
        return Refusal(self.status, self._headers, bytes(self._body))

    def error(self) -> ClaudeProxyError:
        """
        Return what stands for an answer that was cut.
        """
        return refused(self.status)

    def _cut(self) -> None:
        self.was_cut = True
        self._flow.stopProducing()
