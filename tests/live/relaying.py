"""
The relay on real sockets, for the live tests.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, BinaryIO

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from claudeproxy.backends.openai.client import UpstreamClient, hostname_endpoints
from claudeproxy.backends.openai.relay import OpenAIRelay
from claudeproxy.config import Secret, UpstreamConfig
from claudeproxy.core.events import Usage
from claudeproxy.core.relay import Refusal, RelayRequest
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.interfaces import IByteSink
from claudeproxy.testing.playing import RawAnswer, Step

__all__ = [
    "EVENTS",
    "KEY",
    "LiveRelay",
    "Make",
    "MemorySink",
    "busy",
    "chat",
    "free_port",
    "outcome",
    "post",
    "state",
    "stream",
    "until",
    "waits",
]

KEY = "sk-upstream"
EVENTS = ((b"Content-Type", b"text/event-stream"),)


@implementer(IByteSink)
@define(eq=False)
class MemorySink:
    """
    A byte sink that keeps everything, can be slow, and can lose its reader.
    """

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(factory=list)
    chunks: list[bytes] = field(factory=list)
    producer: IPushProducer | None = None
    flowed: bool = False
    ended: int = 0
    on_raw: Callable[[bytes], object] = lambda data: None
    tries: int = 0

    @property
    def begun(self) -> bool:
        return bool(self.chunks)

    def trying(self) -> None:
        self.tries += 1
        self.status, self.flowed = None, False

    def flow_from(self, producer: IPushProducer) -> None:
        assert self.status is not None and not self.chunks and not self.flowed
        self.producer = producer
        self.flowed = True

    def flow_ended(self) -> None:
        self.producer = None
        self.ended += 1

    def head(self, status: int, headers: Any) -> None:
        assert self.status is None
        self.status = status
        self.headers = list(headers)

    def raw(self, data: bytes) -> None:
        self.chunks.append(data)
        self.on_raw(data)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: bytes) -> list[bytes]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def after(self, size: int) -> Deferred[None]:
        """Fire when so many bytes of the body have come."""
        arrived: Deferred[None] = Deferred()

        def tell(_: bytes) -> None:
            if len(self.body) >= size and not arrived.called:
                arrived.callback(None)

        self.on_raw = tell
        return arrived


@define(eq=False)
class LiveRelay:
    """
    A relay, its client, and one request after the other.
    """

    relay: OpenAIRelay
    client: UpstreamClient

    @classmethod
    def to(
        cls,
        reactor: Any,
        base_url: str,
        *,
        clock: Any = None,
        trust_root: Any = None,
        idle_timeout: float = 30.0,
        random: Callable[[], float] = lambda: 0.0,
        **settings: Any,
    ) -> LiveRelay:
        """
        A relay to ``base_url`` that tries once, unless ``settings`` say otherwise, and then without waiting; its timers
        are ``clock``'s, else the reactor's.
        """
        config = UpstreamConfig(api_key=Secret(KEY), base_url=base_url, base_url_given=True, retries=0)
        config = evolve(config, **settings)
        clock = clock or reactor
        endpoints = hostname_endpoints(reactor, config.connect_timeout, trust_root)
        client = UpstreamClient(clock, endpoints, connect_timeout=config.connect_timeout, idle_timeout=idle_timeout)
        return cls(OpenAIRelay(clock, client, config, random), client)

    def send(self, request: RelayRequest, sink: MemorySink | None = None) -> Deferred[Usage | Refusal | None]:
        """Relay a request."""
        return self.relay.relay(request, sink or MemorySink())

    async def answer(self, request: RelayRequest) -> MemorySink:
        """Relay a request and return all that came."""
        sink = MemorySink()
        await self.relay.relay(request, sink)
        return sink

    def stop(self) -> Deferred[None]:
        """Drop all connections."""
        return self.client.close()


Make = Callable[..., LiveRelay]
"""Makes relays, with settings."""


def chat(text: str = "Hello.", *, stream: bool = False, **fields: Any) -> RelayRequest:
    """A chat request whose body is not how a program would write it."""
    body = b'{ "model":"gpt-4o",\r\n "messages" : [{"content": "%b", "role":"user"}], "stream":%b}' % (
        text.encode(),
        b"true" if stream else b"false",
    )
    return post("/chat/completions", body, tee_usage=True, stream=stream, **fields)


def post(path: str, body: bytes | BinaryIO, **fields: Any) -> RelayRequest:
    """A POST of JSON."""
    headers = ((b"Content-Type", b"application/json"), (b"Host", b"us"), *fields.pop("headers", ()))
    return RelayRequest(b"POST", path.encode(), headers, body, **fields)


def stream(*steps: Step, chunked: bool = True) -> RawAnswer:
    """A stream of events."""
    return RawAnswer(200, EVENTS, steps, chunked=chunked)


def busy(status: int = 503, body: bytes = b'{"error":  "busy"}', **headers: str) -> RawAnswer:
    """An answer that is worth another try."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return RawAnswer(status, (*lines, (b"Content-Length", b"%d" % len(body))), (body,))


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def outcome(relay: LiveRelay, request: RelayRequest | None = None) -> str:
    """How a request fared: a status, or the code of an error."""
    sink = MemorySink()
    try:
        await relay.send(request or chat(), sink)
    except ClaudeProxyError as error:
        return error.code
    return str(sink.status)


def state(relay: LiveRelay) -> tuple[str, int]:
    """What the health page says."""
    health = relay.relay.health()
    return health.breaker, health.failures


def waits(clock: Clock, seconds: float) -> bool:
    """Whether something is to happen in so many seconds."""
    return any(abs(call.getTime() - clock.seconds() - seconds) < 1e-6 for call in clock.getDelayedCalls())


async def until(reactor: Any, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition that nothing announces; fail when it does not come."""
    deadline = reactor.seconds() + seconds
    while not condition():
        assert reactor.seconds() < deadline, "the condition did not come true in time"
        await deferLater(reactor, 0.01, lambda: None)
