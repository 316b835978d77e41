"""
Sinks of chat backends: one streams the events in the client's dialect, one collects them into a single body.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from claudeproxy.core.events import StreamEvent, TurnHead, UsageReport
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.interfaces import IEventSink
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.sink import Sink
from claudeproxy.web.turn_headers import announce
from claudeproxy.wire.errorbody import openai_error_event

__all__ = ["EventSink", "FoldingSink"]


class Encoder(Protocol):
    """
    Turns the events of one answer into the bytes of one dialect's stream.
    """

    def encode(self, event: StreamEvent) -> bytes:
        """
        Return what to send for ``event``; often nothing.
        """


class Folder(Protocol):
    """
    Collects the events of one answer into one dialect's body.
    """

    def add(self, event: StreamEvent) -> None:
        """
        Take the next event.
        """


@implementer(IEventSink)
class EventSink(Sink):
    """
    Streams the events of a chat backend in one dialect.
    """

    def __init__(self, request: ProxyRequest, encoder: Encoder, clock: IReactorTime, keepalive_interval: float) -> None:
        super().__init__(request, clock, keepalive_interval)
        self._encode = encoder.encode

    def started(self, head: TurnHead) -> None:
        """
        See ``IEventSink``.
        """
        announce(self._request, head)
        if not self._request.gone:
            self._keep_alive()

    def event(self, event: StreamEvent) -> None:
        """
        See ``IEventSink``.
        """
        self._request.answering = True
        if type(event) is UsageReport:
            self._request.usage = event.usage
        data = self._encode(event)
        if data:
            self._write(data)

    def _last_words(self, error: ClaudeProxyError) -> bytes | None:
        return openai_error_event(error)


@implementer(IEventSink)
class FoldingSink:
    """
    Collects the events of a chat backend; the answer is sent in one piece when the turn is over.
    """

    def __init__(self, request: ProxyRequest, folder: Folder) -> None:
        self._request = request
        self._folder = folder

    def flow_from(self, producer: IPushProducer) -> None:
        """
        Memory is never slow; how much is collected the backend's cap says.
        """

    def flow_ended(self) -> None:
        """
        See ``IFlow``.
        """

    def started(self, head: TurnHead) -> None:
        """
        See ``IEventSink``.
        """
        announce(self._request, head)

    def event(self, event: StreamEvent) -> None:
        """
        See ``IEventSink``.
        """
        self._request.answering = True
        if type(event) is UsageReport:
            self._request.usage = event.usage
        self._folder.add(event)
