"""
All of the daemon in the test's own process: real sockets, a CLI, an upstream, and counts of what is in use.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from claudeproxy.config import LimitsConfig, ServerConfig
from claudeproxy.web.request import ProxyRequest
from tests.live.claude import LiveBackend, until
from tests.live.relaying import LiveRelay
from tests.memory.wire import KEY, Answer, House, parse

__all__ = ["Client", "Whole", "outcome", "request"]


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """
    A request with a key.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {KEY}"]
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    lines += [f"{name}: {value}" for name, value in given.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def outcome(answer: Answer) -> tuple[int, str, str]:
    """
    Status, error code and text of a chat's answer, streamed or not; each has the proper end of its body.
    """
    if answer.headers["content-type"] == "application/json":
        assert answer.complete
        if "error" in answer.json:
            return answer.status, answer.error["code"], ""
        return answer.status, "", answer.json["choices"][0]["message"]["content"]
    events = [line[6:] for line in answer.body.decode().split("\n\n") if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    code = str(chunks.pop()["error"]["code"]) if "error" in chunks[-1] else ""
    assert answer.complete
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    return answer.status, code, text


@define(eq=False, slots=False)
class Client(Protocol):
    """
    A client that keeps every byte, and leaves in every way.
    """

    reactor: Any
    data: bytes = b""
    lost: bool = False

    @classmethod
    def connect(cls, reactor: Any, port: int) -> Deferred[Client]:
        """Connect to a port of loopback."""
        return connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), cls(reactor))

    @property
    def socket(self) -> Any:
        """The connection."""
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.write(data)

    async def heard(self, text: bytes, within: float = 15.0) -> None:
        """Wait until it has come."""
        await until(self.reactor, lambda: text in self.data or self.lost, within)
        assert text in self.data, self.data

    async def answer(self, within: float = 15.0) -> Answer:
        """Wait for the next answer, whole or broken off."""

        def whole() -> bool:
            return self.lost or (b"\r\n\r\n" in self.data and parse(self.data)[0].complete)

        await until(self.reactor, whole, within)
        answer, self.data = parse(self.data, closing=self.lost)
        return answer

    async def leave(self, *, reset: bool = False) -> None:
        """Close the connection, properly or with a reset."""
        if reset:
            self.socket.abortConnection()
        else:
            self.socket.loseConnection()
        await until(self.reactor, lambda: self.lost)


@define(eq=False)
class Whole:
    """
    The web side, both backends, and a port.
    """

    reactor: Any
    house: House
    claude: LiveBackend
    relay: LiveRelay
    _port: Any
    clients: list[Client] = field(factory=list)

    @classmethod
    def make(
        cls,
        reactor: Any,
        upstream: str,
        claude: Mapping[str, str],
        *,
        server: ServerConfig | None = None,
        limits: LimitsConfig | None = None,
        **relay: Any,
    ) -> Whole:
        """
        All of it, listening.

        :param upstream: the upstream's URL.
        :param claude: settings of Claude Code.
        :param relay: settings of the relay.
        """
        backend = LiveBackend.make(reactor, {"ANTHROPIC_API_KEY": "k", "WARM_PROCESSES": "0", **claude})
        live_relay = LiveRelay.to(reactor, base_url=upstream, **relay)
        house = House(
            clock=reactor,
            server=server or ServerConfig(),
            limits=limits or LimitsConfig(),
            backend=backend.backend,  # type: ignore[arg-type]  # the real one
            relay=live_relay.relay,  # type: ignore[arg-type]
        )
        port = reactor.listenTCP(0, house.site, interface="127.0.0.1")
        return cls(reactor, house, backend, live_relay, port)

    async def client(self) -> Client:
        """A client connects."""
        client = await Client.connect(self.reactor, self._port.getHost().port)
        self.clients.append(client)
        return client

    async def ask(self, method: str, path: str, body: bytes = b"", **more: Any) -> Answer:
        """Send one request on a connection of its own, and return its answer."""
        client = await self.client()
        client.send(request(method, path, body, **more))
        answer = await client.answer()
        await client.leave()
        return answer

    def in_use(self) -> dict[str, int]:
        """What requests hold."""
        health = self.claude.backend.health()
        return {
            "connections": len(self.house.site.channels),
            "requests in flight": self.house.drain.in_flight,
            "work that a stop would cut": len(self.house.drain._work),
            "places of keys": sum(self.house.admission.running.values()),
            "working processes": health.active,
            "queued turns": health.queued,
            "busy upstream connections": self.relay.client.busy_connections,
        }

    async def at_rest(self, within: float = 5.0) -> None:
        """Wait until nothing is in use; fail with what still is."""
        try:
            await until(self.reactor, lambda: not any(self.in_use().values()), within)
        except AssertionError:
            raise AssertionError(f"still in use: {self.in_use()}") from None

    async def stop(self) -> None:
        """End everything; nothing may be left of it."""
        await gatherResults([_done(client) for client in self.clients])
        await self._port.stopListening()
        await self.at_rest()
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is ProxyRequest and each.site is self.house.site]
        assert [] == kept, "requests stay in memory"
        await self.claude.stop()
        await self.relay.stop()
        assert [] == self.claude.pids_alive()


def _done(client: Client) -> Deferred[None]:
    return Deferred.fromCoroutine(client.leave())
