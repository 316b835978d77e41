"""
The limits on real sockets.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.openai import StubOpenAI
from tests.live.claude import until
from tests.live.daemon import Daemon

KEY = "secret"


@define
class Clients:
    """
    Clients that keep their connections until they are told to leave.
    """

    url: str
    _connections: list[http.client.HTTPConnection] = field(factory=list)

    def ask(self, text: str, forwarded_for: str = "") -> tuple[int, Any]:
        """Ask for a stream on a new connection; return the status and the answer's headers, once they have come."""
        at = urlsplit(self.url)
        assert at.hostname is not None
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
        self._connections.append(connection)
        body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        if forwarded_for:
            headers["X-Forwarded-For"] = forwarded_for
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        if "hang" not in text:
            answer.read()
        return answer.status, answer.headers

    def leave(self) -> None:
        """All close their connections."""
        while self._connections:
            self._connections.pop().close()


@pytest_twisted.async_yield_fixture
async def start(stub_openai: StubOpenAI) -> AsyncIterator[Callable[..., Daemon]]:
    """Starts a daemon before an upstream, with these settings besides, and stops it."""
    daemons: list[Daemon] = []

    def start(**settings: str) -> Daemon:
        upstream = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{stub_openai.url}/v1"}
        daemons.append(Daemon.start(reactor, {"API_KEY": KEY, "WARM_PROCESSES": "0", **upstream, **settings}))
        return daemons[-1]

    yield start
    for daemon in daemons:
        assert (await daemon.kill()).code == 0


@pytest_twisted.ensureDeferred
async def test_requests_at_the_same_time(start: Callable[..., Daemon]) -> None:
    """
    While as many streams run as a key may have, the next request is refused; clients that leave make room for as many
    as left.
    """
    daemon = start(MAX_CONCURRENT_PER_KEY="3", RATE_LIMIT_PER_IP="0")
    clients = Clients(await daemon.url())

    async def statuses(count: int, text: str) -> list[int]:
        return [(await deferToThread(clients.ask, text))[0] for _ in range(count)]

    for times in range(1, 4):
        assert [200] * 3 == await statuses(3, "[[stub hang]]")
        assert [429] * 3 == await statuses(3, "[[stub hang]]")
        clients.leave()
        await until(reactor, lambda times=times: 3 * times == sum("client_left" in line for line in _access(daemon)))  # type: ignore[misc]
        assert [200] * 5 == await statuses(5, "[[stub text=hello]]")


@pytest_twisted.ensureDeferred
async def test_the_clients_of_a_proxy(start: Callable[..., Daemon]) -> None:
    """Behind a proxy that is trusted, each client has a rate of its own, and the log has its address."""
    daemon = start(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_PER_IP="2", RATE_LIMIT_WINDOW_MS="600000")
    clients = Clients(await daemon.url())
    answers = [
        await deferToThread(clients.ask, "hello", address) for address in ("1.2.3.4", "1.2.3.4", "1.2.3.4", "5.6.7.8")
    ]
    clients.leave()

    assert [200, 200, 429, 200] == [status for status, _ in answers]
    assert {"2"} == {headers["X-RateLimit-Limit"] for _, headers in answers}
    await until(reactor, lambda: {"1.2.3.4", "5.6.7.8"} == {line["client"] for line in _access(daemon)})


def _access(daemon: Daemon) -> list[dict[str, Any]]:
    """The lines of the access log."""
    return [line for line in daemon.log() if "path" in line]
