"""
The HTTP server below the stubs: Twisted's, with the head of each request kept as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from claudeproxy.testing.playing import End, Player, RawAnswer

__all__ = ["Channel", "Performance", "RecordedRequest", "StubFactory", "StubRequest"]


@define(eq=False)
class RecordedRequest:
    """
    One request as it arrived, and what became of it.
    """

    request_line: bytes
    raw_headers: tuple[tuple[bytes, bytes], ...]
    """Names and values as the client spelled and ordered them; the blank after the colon is part of the value."""
    raw_body: bytes
    """Without its transfer encoding."""
    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    """Lower-cased names; the values of a repeated header are joined by a comma."""
    body: Any
    """The decoded JSON; None when the body is something else."""
    status: int | None = None
    """Of the answer; None while there is none, and when it has none."""
    usage: Mapping[str, Any] | None = None
    """The tokens that the answer reports, by the API's own names."""
    sent: int = 0
    """Bytes of the answer written so far, head and framing included."""
    gone: bool = False
    """Whether the client left before the answer ended."""
    player: Player | None = field(default=None, repr=False)

    @property
    def paused(self) -> bool:
        """Whether the answer waits for a slow client."""
        return self.player is not None and self.player.paused


@provider(INonQueuedRequestFactory)
class StubRequest(Request):
    """
    A request that is served as soon as its body is complete, its forms unparsed.
    """

    channel: Channel
    head_lines: tuple[bytes, ...] = ()
    """The request line and the header lines, without their line ends."""

    def __init__(self, channel: HTTPChannel) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)

    def process(self) -> None:
        """Hand the request to the stub."""
        self.channel.factory.serve(self)

    def recorded(self) -> RecordedRequest:
        """
        Return what arrived.
        """
        request_line, *lines = self.head_lines
        raw_headers = tuple((name, value) for name, _, value in (line.partition(b":") for line in lines))
        headers: dict[str, str] = {}
        for raw_name, raw_value in raw_headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.strip().decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw_body = b"" if self.content is None else self.content.read()
        try:
            body = json.loads(raw_body)
        except ValueError:
            body = None
        return RecordedRequest(
            request_line=request_line,
            raw_headers=raw_headers,
            raw_body=raw_body,
            method=self.method.decode("latin-1"),
            path=self.uri.partition(b"?")[0].decode("latin-1"),
            headers=headers,
            body=body,
        )


class Channel(HTTPChannel):
    """
    One connection of a stub.
    """

    requestFactory = StubRequest  # type: ignore[assignment]  # HTTPChannel only ever calls it with itself
    transport: Any
    factory: StubFactory
    dropped = False
    """Whether it is the stub that ends the connection."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        """Keep the line of the head."""
        if line:
            self._lines.append(line)
        super().lineReceived(line)  # type: ignore[no-untyped-call]

    def allHeadersReceived(self) -> None:
        """Give the request its head."""
        self.requests[-1].head_lines = tuple(self._lines)
        self._lines = []
        super().allHeadersReceived()  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Tell the stub."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the stub."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.lost(self)

    def abort(self) -> None:
        """
        Reset the connection on the stub's behalf.
        """
        self.dropped = True
        self.transport.abortConnection()


class StubFactory(HTTPFactory):
    """
    Accepts a stub's connections; no idle timeout, no access log, no HTTP/2.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        serve: Callable[[StubRequest], None],
        opened: Callable[[Channel], None],
        lost: Callable[[Channel], None],
    ) -> None:
        super().__init__(timeout=None, reactor=clock)  # type: ignore[arg-type]  # None is no timeout
        self.protocol = Channel  # type: ignore[assignment]  # instead of the wrapper that negotiates HTTP/2
        self.serve = serve
        self.opened = opened
        self.lost = lost

    def log(self, request: object) -> None:
        """Drop the line."""


class Performance:
    """
    One answer on its way out: a player on the stage of a request.

    :param left: is told when the client leaves before the end.
    """

    def __init__(
        self,
        request: StubRequest,
        recorded: RecordedRequest,
        answer: RawAnswer,
        left: Callable[[RecordedRequest], None],
    ) -> None:
        self._request: Any = request  # the methods it inherits are untyped
        self._channel: Any = request.channel
        self._recorded = recorded
        self._answer = answer
        self._left = left
        self._over = False

    def begin(self, clock: IReactorTime) -> None:
        """
        Play the answer's first step.
        """
        request = self._request
        request.startedWriting = 1  # the head is one of the steps, Twisted shall not write another
        request.notifyFinish().addErrback(self._interrupted)
        steps = self._answer.play(head_only=request.method == b"HEAD", chunks=request.clientproto == b"HTTP/1.1")
        self._recorded.player = player = Player(clock, self._write, self._ended, steps)
        request.registerProducer(player, True)
        player.start()

    def _write(self, data: bytes) -> None:
        self._recorded.sent += len(data)
        self._channel.write(data)

    def _ended(self, end: End) -> None:
        self._over = True
        request = self._request
        request.unregisterProducer()
        told_by_head = request.method == b"HEAD" or self._answer.self_delimiting(request.clientproto == b"HTTP/1.1")
        if end is End.ABORT:
            self._channel.abort()
        elif end is End.FINISH and told_by_head:
            request.finish()
        else:
            self._channel.loseConnection()

    def _interrupted(self, _: Failure) -> None:
        if self._recorded.player is not None:
            self._recorded.player.stopProducing()
        if not (self._over or self._channel.dropped):
            self._recorded.gone = True
            self._left(self._recorded)
