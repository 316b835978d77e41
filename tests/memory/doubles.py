"""
Backends that do what the test says, and remember what they were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from claudeproxy.core.chat import ChatRequest, Image, ImageLink
from claudeproxy.core.events import (
    Finished,
    FinishReason,
    StreamEvent,
    TextDelta,
    TurnHead,
    Usage,
    UsageReport,
)
from claudeproxy.core.health import ChatHealth, UpstreamHealth
from claudeproxy.core.relay import Refusal, RelayRequest
from claudeproxy.interfaces import IByteSink, IChatBackend, IEventSink, IImageFetcher, IRelay

__all__ = [
    "SESSION",
    "Exchange",
    "Fetch",
    "MemoryBackend",
    "MemoryFetcher",
    "MemoryProducer",
    "MemoryRelay",
    "Turn",
    "healthy",
]

SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

JSON = ((b"Content-Type", b"application/json"),)
EVENTS = ((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no"))


@implementer(IPushProducer)
@define(eq=False)
class MemoryProducer:
    """
    Remembers what it was told.
    """

    told: list[str] = field(factory=list)
    on_stop: Callable[[], object] = lambda: None

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")
        self.on_stop()


def healthy(**fields: Any) -> ChatHealth:
    """
    What a chat backend reports, unless ``fields`` say otherwise.
    """
    known = {"status": "ok", "detail": None, "version": "2.1.329"}
    counts = {"active": 1, "max": 10, "queued": 2, "warm": 3, "live": 4, "parked": 0}
    return ChatHealth(**{**known, **counts, **fields})


@define(eq=False)
class Turn:
    """
    A turn that a test plays step by step.
    """

    request: ChatRequest
    sink: IEventSink
    cancelled: bool = False
    producer: MemoryProducer = field(factory=MemoryProducer)
    done: Deferred[None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.done = Deferred(self._cancel)

    def start(self, created: bool = True) -> None:
        """A slot is granted."""
        self.sink.started(TurnHead(SESSION, created, self.request.ignored))
        self.sink.flow_from(self.producer)

    def say(self, *texts: str) -> None:
        """The model says something."""
        for text in texts:
            self.sink.event(TextDelta(text))

    def event(self, event: StreamEvent) -> None:
        """Any event."""
        self.sink.event(event)

    def end(self) -> None:
        """The turn ends as it should."""
        self.sink.event(UsageReport(Usage(input_tokens=9, output_tokens=2)))
        self.sink.event(Finished(FinishReason.STOP))
        self.sink.flow_ended()
        self.done.callback(None)

    def fail(self, error: Exception) -> None:
        """The turn ends otherwise."""
        self.sink.flow_ended()
        self.done.errback(error)

    def _cancel(self, _: Deferred[None]) -> None:
        self.cancelled = True
        self.sink.flow_ended()


@implementer(IChatBackend)
@define(eq=False)
class MemoryBackend:
    """
    A chat backend whose turns the test plays.
    """

    name: str = "claude-code"
    turns: list[Turn] = field(factory=list)
    reported: ChatHealth = field(factory=healthy)

    def open(self, request: ChatRequest, sink: IEventSink) -> Deferred[None]:
        turn = Turn(request, sink)
        self.turns.append(turn)
        return turn.done

    def health(self) -> ChatHealth:
        return self.reported

    @property
    def turn(self) -> Turn:
        """The last turn."""
        return self.turns[-1]


@define(eq=False)
class Exchange:
    """
    A relayed request that a test answers step by step.
    """

    request: RelayRequest
    sink: IByteSink
    cancelled: bool = False
    producer: MemoryProducer = field(factory=MemoryProducer)
    done: Deferred[Usage | Refusal | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.done = Deferred(self._cancel)

    @property
    def body(self) -> bytes:
        """The request's body."""
        body = self.request.body
        return body if isinstance(body, bytes) else body.read()

    def head(self, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = JSON) -> None:
        """The upstream begins its answer."""
        self.sink.head(status, headers)
        self.sink.flow_from(self.producer)

    def send(self, *pieces: bytes) -> None:
        """The upstream sends bytes."""
        for piece in pieces:
            self.sink.raw(piece)

    def end(self, usage: Usage | None = None) -> None:
        """The answer is complete."""
        self.sink.flow_ended()
        self.done.callback(usage)

    def refuse(self, status: int, body: bytes = b"{}", headers: Sequence[tuple[bytes, bytes]] = JSON) -> None:
        """The answer is one that another backend may do better than."""
        assert self.request.hands_over
        self.done.callback(Refusal(status, headers, body))

    def fail(self, error: Exception) -> None:
        """The answer breaks off."""
        self.sink.flow_ended()
        self.done.errback(error)

    def _cancel(self, _: Deferred[Usage | Refusal | None]) -> None:
        self.cancelled = True
        self.sink.flow_ended()


@implementer(IRelay)
@define(eq=False)
class MemoryRelay:
    """
    A relay whose upstream is the test.
    """

    name: str = "openai-passthrough"
    exchanges: list[Exchange] = field(factory=list)
    models: tuple[dict[str, Any], ...] = ()
    listing: Deferred[tuple[dict[str, Any], ...]] | None = None
    """Fires with the models, where a test says when."""
    status: str = "ok"

    def relay(self, request: RelayRequest, sink: IByteSink) -> Deferred[Usage | Refusal | None]:
        sink.trying()
        exchange = Exchange(request, sink)
        self.exchanges.append(exchange)
        return exchange.done

    def upstream_models(self) -> Deferred[tuple[dict[str, Any], ...]]:
        return self.listing or succeed(self.models)

    def health(self) -> UpstreamHealth:
        return UpstreamHealth(self.status)

    @property
    def exchange(self) -> Exchange:
        """The last exchange."""
        return self.exchanges[-1]


@define(eq=False)
class Fetch:
    """
    A picture that a test lets come.
    """

    link: ImageLink
    tenant: str
    cancelled: bool = False
    done: Deferred[Image] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.done = Deferred(self._cancel)

    def come(self, data: str = "AAAA") -> None:
        """It is there."""
        self.done.callback(Image("image/png", data))

    def _cancel(self, _: Deferred[Image]) -> None:
        self.cancelled = True


@implementer(IImageFetcher)
@define(eq=False)
class MemoryFetcher:
    """
    A fetcher whose pictures come when the test says.
    """

    fetches: list[Fetch] = field(factory=list)

    def fetch(self, link: ImageLink, tenant: str) -> Deferred[Image]:
        self.fetches.append(Fetch(link, tenant))
        return self.fetches[-1].done

    @property
    def urls(self) -> list[str]:
        """What was fetched."""
        return [fetch.link.url for fetch in self.fetches]
