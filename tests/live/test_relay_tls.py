"""
The relay to an upstream over TLS.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from zope.interface import implementer

from claudeproxy.errors import UpstreamUnreachable
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.certificates import LOCALHOST, Authority
from tests.live.relaying import LiveRelay, MemorySink, chat, post, until


@implementer(IReactorTCP, IReactorTime)
class OverTLS:
    """
    A reactor whose ports speak TLS, so that the stub does.
    """

    def __init__(self, certificate: PrivateCertificate) -> None:
        self._options = certificate.options()
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls
        self.connectTCP = reactor.connectTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return reactor.listenSSL(port, factory, self._options, backlog, interface)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """A certificate authority of our own."""
    return Authority.make()


@pytest_twisted.async_yield_fixture
async def stub(authority: Authority) -> AsyncIterator[StubOpenAI]:
    """A stub that has a certificate for localhost."""
    stub = await StubOpenAI().listen(OverTLS(authority.issue(*LOCALHOST)))
    yield stub
    await stub.stop()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest_twisted.ensureDeferred
async def test_a_verified_upstream(authority: Authority, stub: StubOpenAI, clock: Clock, host: str) -> None:
    """An upstream whose certificate is good is served over TLS, on kept connections, also some time later."""
    url = f"https://{host}:{stub.port}/v1"
    live = LiveRelay.to(reactor, url, clock=clock, trust_root=authority.trust_root)

    for _ in range(3):
        sink = await live.answer(chat(stream=True))
        assert sink.body.endswith(b"data: [DONE]\n\n")
        clock.advance(5)

    assert stub.connections == 1
    assert stub.requests[0].headers["host"] == f"{host}:{stub.port}"
    await live.stop()


@pytest_twisted.ensureDeferred
async def test_an_authority_that_nobody_knows(stub: StubOpenAI) -> None:
    """Without trust in its authority an upstream gets no request, and the client hears why."""
    live = LiveRelay.to(reactor, f"https://localhost:{stub.port}/v1")

    with pytest.raises(UpstreamUnreachable, match="TLS handshake with the upstream failed: certificate verify failed"):
        await live.answer(chat())

    assert stub.requests == []
    await live.stop()


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name(authority: Authority) -> None:
    """A good certificate for another name is no good."""
    stub = await StubOpenAI().listen(OverTLS(authority.issue(x509.DNSName("elsewhere.example"))))
    live = LiveRelay.to(reactor, f"https://localhost:{stub.port}/v1", trust_root=authority.trust_root)

    with pytest.raises(UpstreamUnreachable, match="certificate is not for its name"):
        await live.answer(chat())

    assert stub.requests == []
    await live.stop()
    await stub.stop()


class Plain(Protocol):
    """
    Answers whatever comes in plain HTTP.
    """

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest_twisted.ensureDeferred
async def test_an_upstream_without_tls(authority: Authority) -> None:
    """Plain HTTP behind an https URL is a handshake that fails."""
    listening = reactor.listenTCP(0, Factory.forProtocol(Plain), interface="127.0.0.1")
    port = listening.getHost().port
    live = LiveRelay.to(reactor, f"https://127.0.0.1:{port}/v1", trust_root=authority.trust_root)

    with pytest.raises(UpstreamUnreachable, match="TLS handshake with the upstream failed: wrong version number"):
        await live.answer(chat())

    await live.stop()
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_an_upload(authority: Authority, stub: StubOpenAI) -> None:
    """A large body arrives whole over TLS as well."""
    live = LiveRelay.to(reactor, f"https://localhost:{stub.port}/v1", trust_root=authority.trust_root)
    data = bytes(range(256)) * 10_000

    await live.answer(post("/files", io.BytesIO(data)))

    assert stub.requests[0].raw_body == data
    await live.stop()


@pytest.mark.parametrize("paused", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_departure(authority: Authority, stub: StubOpenAI, paused: bool) -> None:
    """A client that leaves takes the TLS connection with it at once, also when it has not read for a while."""
    stub.script("/v1/chat/completions", RawAnswer(200, (), (b"x" * 65536,) * 300, chunked=True))
    live = LiveRelay.to(reactor, f"https://localhost:{stub.port}/v1", trust_root=authority.trust_root)
    sink = MemorySink()
    relayed = live.send(chat(stream=True), sink)
    await sink.after(1)
    if paused:
        assert sink.producer is not None
        sink.producer.pauseProducing()
        await until(reactor, lambda: stub.requests[0].paused)
    departed = stub.next_departure()

    relayed.cancel()

    with pytest.raises(CancelledError):
        await relayed
    await departed
    assert len(sink.body) < 300 * 65536
    await live.stop()


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_dies(authority: Authority, stub: StubOpenAI) -> None:
    """An answer that breaks off is an error over TLS as well."""
    stub.script("/v1/chat/completions", RawAnswer(200, (), (b"data: 1\n\n", End.CLOSE), chunked=True))
    live = LiveRelay.to(reactor, f"https://localhost:{stub.port}/v1", trust_root=authority.trust_root)

    with pytest.raises(UpstreamUnreachable, match="middle of its answer"):
        await live.answer(chat(stream=True))

    await live.stop()
