"""
A response that is held back from the client until it is complete: another attempt may bring a better one, or it is an
error, whose body is looked through for secrets.
"""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer, IReactorTime

from claudeproxy.backends.openai.error_bodies import MOST_BYTES, without_secrets
from claudeproxy.backends.openai.failures import refused
from claudeproxy.core.relay import Refusal
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.headers import HeaderPairs

__all__ = ["KeptAnswer"]

_TIME_LIMIT = 2.0
"""Seconds that the body may take from its head to its end where another attempt is waiting for it."""


class KeptAnswer:
    """
    Collects the body of a response that is an error, which is short.

    One that is too long or too slow is cut: its connection is dropped, and an error of our own takes its place.
    """

    def __init__(
        self,
        status: int,
        headers: HeaderPairs,
        flow: IPushProducer,
        clock: IReactorTime,
        key: str | None,
        *,
        final: bool,
    ) -> None:
        """
        :param headers: those that travel to the client.
        :param flow: stopping it abandons the exchange, which then fails with ``CancelledError``.
        :param key: the one that was sent to the upstream, which the body must not show.
        :param final: whether it is what the client gets, and so may take its time.
        """
        self.was_cut = False
        self.status = status
        self.final = final
        self._headers = headers
        self._body = bytearray()
        self._flow = flow
        self._key = key
        self._timer = None if final else clock.callLater(_TIME_LIMIT, self._cut)

    def add(self, data: bytes) -> None:
        """
        Take the next bytes of the body.
        """
        self._body += data
        if len(self._body) > MOST_BYTES:
            self._cut()

    def over(self) -> None:
        """
        The exchange has ended, in whatever way.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def refusal(self) -> Refusal:
        """
        Return a response that is complete, without the secrets in its body.

        :raises BackendError: it cannot be looked into.
        """
        return Refusal(self.status, *without_secrets(self._headers, bytes(self._body), self._key))

    def error(self) -> ClaudeProxyError:
        """
        Return what stands for an answer that was cut.
        """
        return refused(self.status)

    def _cut(self) -> None:
        self.was_cut = True
        self._flow.stopProducing()
