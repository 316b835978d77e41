"""
The web side on a wire of memory: real HTTP parsing, real Klein, no socket, and a clock that the test moves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from claudeproxy.config import (
    AuthConfig,
    ClaudeConfig,
    LimitsConfig,
    LogConfig,
    RoutingConfig,
    Secret,
    ServerConfig,
    UpstreamConfig,
)
from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import OPENAI, Fallback, Router
from claudeproxy.ops.admission import Admission
from claudeproxy.ops.drain import Drain
from claudeproxy.ops.logs import Threshold
from claudeproxy.store.keys import ConfiguredKeys
from claudeproxy.web.access_log import AccessLog
from claudeproxy.web.app import ProxyApp, make_site
from claudeproxy.web.channel import ProxyChannel
from claudeproxy.web.site import ProxySite
from tests.memory.doubles import MemoryBackend, MemoryRelay

__all__ = ["KEY", "Answer", "House", "Wire", "chat_body", "parse"]

KEY = "test-key"


def chat_body(model: str = "sonnet", stream: bool = False, **parameters: Any) -> bytes:
    """Return a chat request's body."""
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream, **parameters}
    ).encode()


@frozen
class Answer:
    """
    One answer, as it came over the wire.
    """

    status: int
    headers: Mapping[str, str]
    """Lower-cased names; a name that comes twice has both values, joined by a comma."""
    body: bytes
    """Without its transfer encoding."""
    complete: bool
    """Whether the body ended as its head said."""
    names: tuple[str, ...]
    """The names of the headers as they came."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error that the body is; it has all four keys and nothing else."""
        assert self.headers["content-type"] == "application/json", self.body
        error: Mapping[str, Any] = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"] and b"<" not in self.body
        return error


@implementer(ITCPTransport)
class _Transport(StringTransport):
    """
    A TCP connection that says what was done to it.
    """

    aborted = False
    half_closed = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return False


@define(eq=False)
class Wire:
    """
    One connection of a client.
    """

    channel: ProxyChannel
    transport: _Transport

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = KEY,
    ) -> None:
        """Send a request; with a body it is JSON unless ``headers`` say otherwise."""
        lines = [f"{method} {path} HTTP/1.1"]
        given = {"Host": "localhost", **(headers or {})}
        if key is not None:
            given.setdefault("Authorization", f"Bearer {key}")
        if body is not None:
            given.setdefault("Content-Type", "application/json")
            given.setdefault("Content-Length", str(len(body)))
        lines += [f"{name}: {value}" for name, value in given.items() if value]
        self.send_raw("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def send_raw(self, data: bytes) -> None:
        """Send bytes."""
        self.channel.dataReceived(data)

    @property
    def sent(self) -> bytes:
        """All that came back."""
        return self.transport.value()

    @property
    def closing(self) -> bool:
        """Whether the server has asked for the connection's end."""
        return bool(self.transport.disconnecting or self.transport.half_closed)

    def answer(self, head_only: bool = False) -> Answer:
        """Take the next answer off the wire, as far as it has come."""
        answer, rest = parse(self.sent, head_only, self.closing)
        self.transport.clear()
        self.transport.write(rest)
        return answer

    def leave(self) -> None:
        """The client closes its connection, as a socket tells it: first the producer, then the protocol."""
        producer, self.transport.producer = self.transport.producer, None
        if producer is not None:
            producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionDone()))

    def close(self) -> None:
        """The server's wish to close comes true."""
        assert self.closing
        self.channel.connectionLost(Failure(ConnectionDone()))


def parse(data: bytes, head_only: bool = False, closing: bool = False) -> tuple[Answer, bytes]:
    """
    Read one answer off ``data``, and return it and what follows.

    :param closing: the connection has ended, or is about to.
    """
    head, found, rest = data.partition(b"\r\n\r\n")
    assert found, f"no answer in {data!r}"
    status_line, *lines = head.decode("latin-1").split("\r\n")
    protocol, status, _ = status_line.split(" ", 2)
    assert protocol.startswith("HTTP/1.")
    headers: dict[str, str] = {}
    names = tuple(line.partition(": ")[0] for line in lines)
    for name, _, value in (line.partition(": ") for line in lines):
        lowered = name.lower()
        headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
    complete = True
    if head_only or status in ("204", "304"):
        body = b""
    elif "content-length" in headers:
        length = int(headers["content-length"])
        body, rest = rest[:length], rest[length:]
        complete = len(body) == length
    elif headers.get("transfer-encoding") == "chunked":
        body, complete, rest = _dechunk(rest)
    else:
        body, rest, complete = rest, b"", closing
    return Answer(int(status), headers, body, complete, names), rest


def _dechunk(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body, True, data[2:]
        body, data = body + data[:length], data[length + 2 :]
    return body, False, b""


@define(eq=False)
class House:
    """
    The web side with backends of memory.
    """

    clock: Any = field(factory=Clock)
    keys: tuple[str, ...] = (KEY,)
    server: ServerConfig = field(factory=lambda: ServerConfig(max_body_bytes=1000))
    claude: ClaudeConfig = field(factory=lambda: ClaudeConfig(api_key=Secret("sk-ant-test")))
    routing: RoutingConfig = field(factory=RoutingConfig)
    upstream: UpstreamConfig = field(factory=lambda: UpstreamConfig(api_key=Secret("sk-upstream")))
    limits: LimitsConfig = field(factory=LimitsConfig)
    log: LogConfig = field(factory=LogConfig)
    backend: Any = field(factory=MemoryBackend)
    relay: MemoryRelay = field(factory=MemoryRelay)
    image_fetcher: Any = None
    upstreams: tuple[UpstreamConfig, ...] = ()
    """Further ones, in their order."""
    fallbacks: tuple[Fallback, ...] = ()
    relays: dict[str, MemoryRelay] = field(init=False)
    """All relays by name; ``relay`` is that of ``openai``."""
    events: list[dict[str, Any]] = field(factory=list)
    """The access log."""
    threshold: Threshold = field(init=False)
    stored_keys: ConfiguredKeys = field(init=False)
    catalog: Catalog = field(init=False)
    admission: Admission = field(init=False)
    drain: Drain = field(init=False)
    app: ProxyApp = field(init=False)
    site: ProxySite = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.threshold = Threshold(self.log.level)
        self.stored_keys = ConfiguredKeys(AuthConfig(api_keys=tuple(Secret(key) for key in self.keys)))
        self.catalog = Catalog(self.routing.model_map, self.routing.default_model)
        self.admission = Admission(self.clock, self.limits)
        self.drain = Drain(self.clock)
        routes = [upstream.route for upstream in (*self.upstreams, self.upstream)]
        self.relays = {upstream.name: MemoryRelay() for upstream in self.upstreams} | {OPENAI: self.relay}
        self.app = ProxyApp(
            keys=self.stored_keys,
            admission=self.admission,
            chat_backend=self.backend,
            relays=self.relays,
            catalog=self.catalog,
            router=Router(self.catalog, self.routing.route_claude_models, routes, self.fallbacks),
            server=self.server,
            claude=self.claude,
            drain=self.drain,
            clock=self.clock,
            image_fetcher=self.image_fetcher,
        )
        self.site = make_site(self.app, AccessLog(self.threshold, self.events.append))

    def connect(self, secure: bool = False) -> Wire:
        """A client connects; ``secure`` says that it is by TLS."""
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, ProxyChannel)
        wire = Wire(channel, _Transport())
        if secure:
            alsoProvides(wire.transport, ISSLTransport)
        channel.makeConnection(wire.transport)
        return wire

    def ask(self, method: str, path: str, body: bytes | None = None, **options: Any) -> Answer:
        """Send one request on a connection of its own and return its answer."""
        wire = self.connect()
        wire.send(method, path, body, **options)
        answer = wire.answer(head_only=method == "HEAD")
        wire.leave()
        return answer

    @property
    def access(self) -> dict[str, Any]:
        """The last line of the access log."""
        fields: dict[str, Any] = self.events[-1]["access"]
        return fields
