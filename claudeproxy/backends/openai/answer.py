"""
The answer on its way from the upstream's socket to the sink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from claudeproxy.backends.openai.kept import KeptAnswer
from claudeproxy.backends.openai.timers import CLIENT, Watch
from claudeproxy.core.events import Usage
from claudeproxy.interfaces import IByteSink
from claudeproxy.wire.headers import response_headers
from claudeproxy.wire.http1 import AnswerHead
from claudeproxy.wire.openai_usage import OBJECT_TAIL_BYTES, STREAM_TAIL_BYTES, UsageTee

__all__ = ["RelayedAnswer", "SilenceLimits"]


class SilenceLimits(NamedTuple):
    """
    How long nothing may move within a response, in seconds.
    """

    upstream: float
    """While the upstream is waited for."""
    client: float
    """While the client does not read."""


_ERRORS = 400
"""The status from which on a body is looked through for secrets."""


@implementer(IPushProducer)
class RelayedAnswer:
    """
    Receives an answer and is the sink's push producer.

    Flow control: the sink pauses it while the client is slow; the pause goes straight to the upstream's socket, whose
    window then closes, and it is the client that is waited for. Pauses may come repeatedly and in any state. The sink's
    reader leaves: ``stopProducing``, which abandons the exchange.

    :meth:`received` is the hot path, once per chunk: it writes, notes the time and lets the tee have a look; nothing is
    copied, scheduled or logged.
    """

    def __init__(
        self,
        sink: IByteSink,
        clock: IReactorTime,
        watch: Watch,
        limits: SilenceLimits,
        keeps: Callable[[AnswerHead], bool],
        *,
        key: str | None,
        wants_usage: bool,
    ) -> None:
        """
        :param limits: how long the upstream may be silent within its answer, and its reader not read.
        :param keeps: whether to keep the answer with this head from the sink.
        :param key: the one that is sent to the upstream.
        :param wants_usage: whether to look for usage.
        """
        self.kept: KeptAnswer | None = None
        """The response that the sink does not get, or gets when it is complete."""
        self._key = key
        self._sink = sink
        self._clock = clock
        self._keeps = keeps
        self._raw = sink.raw
        self._seconds = clock.seconds
        self._watch = watch
        self._limits = limits
        self._wants_usage = wants_usage
        self._tee: UsageTee | None = None
        self._flow: IPushProducer | None = None
        self._last = 0.0
        self._paused = False

    def answered(self, head: AnswerHead, flow: IPushProducer) -> None:
        """
        Pass the head on, and let the sink govern the flow from here; or keep the answer.
        """
        headers = response_headers(head.headers)
        if head.length is not None:
            headers.append((b"Content-Length", b"%d" % head.length))
        replaced = self._keeps(head)
        if replaced or head.status >= _ERRORS:
            self.kept = KeptAnswer(head.status, headers, flow, self._clock, self._key, final=not replaced)
            self._raw = self.kept.add
        if replaced:
            self._watch.rest()
            return
        self._last = self._seconds()
        self._watch.begun()
        self._watch.phase("silence", self._limits.upstream, self._silent_for)
        if self.kept is not None:
            return
        if self._wants_usage:
            self._tee = _tee(head)
        self._flow = flow
        self._sink.head(head.status, headers)
        self._sink.flow_from(self)

    def received(self, data: bytes) -> None:
        """
        Pass bytes of the body on, then look at them.
        """
        self._last = self._seconds()
        self._raw(data)
        if self._tee is not None:
            self._tee.feed(data)

    def over(self) -> None:
        """
        The exchange has ended, in whatever way.
        """
        if self.kept is not None:
            self.kept.over()
        if self._flow is not None:
            self._flow = None
            self._sink.flow_ended()

    def usage(self) -> Usage | None:
        """
        What the tee saw.
        """
        return None if self._tee is None else self._tee.usage()

    def pauseProducing(self) -> None:
        if self._flow is not None:
            if not self._paused:
                self._paused = True
                self._watch.phase(CLIENT, self._limits.client)
            self._flow.pauseProducing()

    def resumeProducing(self) -> None:
        if self._flow is not None and self._paused:
            self._paused = False
            self._last = self._seconds()
            self._watch.phase("silence", self._limits.upstream, self._silent_for)
            self._flow.resumeProducing()

    def stopProducing(self) -> None:
        if self._flow is not None:
            self._flow.stopProducing()

    def _silent_for(self) -> float:
        """
        The seconds since the upstream's last byte.
        """
        return self._seconds() - self._last


def _tee(head: AnswerHead) -> UsageTee | None:
    """
    The tee for an answer, or None when it is none that could be read.
    """
    if head.status != 200 or any(coding.lower() != b"identity" for coding in head.values(b"content-encoding")):
        return None
    streams = any(value.lower().startswith(b"text/event-stream") for value in head.values(b"content-type"))
    return UsageTee(STREAM_TAIL_BYTES if streams else OBJECT_TAIL_BYTES)
