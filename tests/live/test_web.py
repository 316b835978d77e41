"""
The web side on real sockets: clients that send too much, read too slowly, or leave.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from cryptography import x509
from openai import APIConnectionError, APIError, OpenAI
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread

from claudeproxy.config import ServerConfig
from claudeproxy.errors import BackendError
from tests.live.claude import until
from tests.live.test_relay_tls import Authority
from tests.memory.doubles import EVENTS
from tests.memory.wire import KEY, House, chat_body

MEGABYTE = 1024 * 1024


@frozen
class Live:
    """
    The web side with backends of memory, listening on loopback.
    """

    house: House
    port: int

    def http(self) -> http.client.HTTPConnection:
        """A blocking client, for use in a thread."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def sdk(self) -> OpenAI:
        """The public client, for use in a thread."""
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=KEY, max_retries=0)

    def socket(self, body: bytes) -> socket.socket:
        """A bare socket on which a chat request has been sent."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        return client


@pytest_twisted.async_yield_fixture
async def live() -> AsyncIterator[Live]:
    """
    The running web side.
    """
    house = House(clock=reactor, server=ServerConfig(max_body_bytes=MEGABYTE, keepalive_interval=0.05))
    port = reactor.listenTCP(0, house.site, interface="127.0.0.1")
    yield Live(house, port.getHost().port)
    await port.stopListening()
    house.site.close_idle()
    await until(reactor, lambda: not house.site.channels)


def upload(client: http.client.HTTPConnection, headers: dict[str, str], size: int) -> tuple[int, Any, str | None]:
    """Send a body to its very end, then read the answer, as the SDKs do."""
    try:
        client.putrequest("POST", "/v1/chat/completions")
        for name, value in {"Authorization": f"Bearer {KEY}", **headers}.items():
            client.putheader(name, value)
        client.endheaders()
        piece = b"x" * 65536
        for _ in range(size // len(piece)):
            client.send(b"10000\r\n%b\r\n" % piece if "Transfer-Encoding" in headers else piece)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read()), answer.getheader("Connection")
    finally:
        client.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_sends_too_much_reads_why(live: Live, chunked: bool) -> None:
    """The answer to a body that is too large arrives although the client sends all of it first."""
    size = 16 * MEGABYTE
    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    status, body, connection = await deferToThread(upload, live.http(), headers, size)

    assert (413, "request_too_large", "close") == (status, body["error"]["code"], connection)


@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves(live: Live, model: str) -> None:
    """When the socket closes, the work on either backend is cancelled within a second."""
    house = live.house
    client = live.socket(chat_body(model, stream=True))
    await until(reactor, lambda: bool(house.backend.turns or house.relay.exchanges))
    work: Any = house.backend.turn if house.backend.turns else house.relay.exchange
    if model == "sonnet":
        work.start()
        work.say("Hello")
    else:
        work.head(200, EVENTS)
        work.send(b"data: 1\n\n")
    await deferToThread(client.recv, 65536)
    client.close()

    await until(reactor, lambda: work.cancelled, seconds=1)
    assert ["stop"] == work.producer.told


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read(live: Live) -> None:
    """A client that does not read pauses the backend; when it reads again, nothing is missing."""
    house = live.house
    client = live.socket(chat_body("gpt-4o", stream=True))
    await until(reactor, lambda: bool(house.relay.exchanges))
    exchange = house.relay.exchange
    exchange.head(200, EVENTS)
    sent = 0
    while "pause" not in exchange.producer.told:
        exchange.send(b"data: %065536d\n\n" % sent)
        sent += 1
        await until(reactor, lambda: True)
        assert sent < 1000
    assert ["pause"] == exchange.producer.told
    received = bytearray()
    reading = deferToThread(_read_to_end, client, received)
    await until(reactor, lambda: exchange.producer.told == ["pause", "resume"])
    exchange.send(b"data: [DONE]\n\n")
    exchange.end()
    await reading

    assert sent == received.count(b"data: 0")
    assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def _read_to_end(client: socket.socket, received: bytearray) -> None:
    with client:
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(MEGABYTE)


@pytest_twisted.ensureDeferred
async def test_the_public_client_reads_a_stream(live: Live) -> None:
    """The openai SDK reads a stream over its keep-alive comments, and takes a broken one for what it is."""

    def read() -> tuple[str, APIError]:
        client, text = live.sdk(), ""
        for chunk in client.chat.completions.create(model="sonnet", messages=[_HELLO], stream=True):
            text += chunk.choices[0].delta.content or ""
        with pytest.raises(APIError) as caught:
            list(client.chat.completions.create(model="sonnet", messages=[_HELLO], stream=True))
        client.close()
        return text, caught.value

    reading = deferToThread(read)
    turns = live.house.backend.turns
    await until(reactor, lambda: len(turns) == 1)
    turns[0].start()
    silence: Deferred[None] = Deferred()
    reactor.callLater(0.12, silence.callback, None)
    await silence
    turns[0].say("Hel", "lo")
    turns[0].end()
    await until(reactor, lambda: len(turns) == 2)
    turns[1].start()
    turns[1].say("Hel")
    turns[1].fail(BackendError("The model fell over."))
    text, error = await reading

    assert ("Hello", "The model fell over.", "backend_error") == (text, error.message, error.code)


_HELLO: Any = {"role": "user", "content": "Hello"}


@pytest_twisted.ensureDeferred
async def test_the_public_client_in_a_shutdown(live: Live) -> None:
    """A stream that a shutdown cuts short tells the SDK so, and its connection ends."""

    def read() -> str:
        with pytest.raises(APIError) as caught, live.sdk() as client:
            list(client.chat.completions.create(model="sonnet", messages=[_HELLO], stream=True))
        assert not isinstance(caught.value, APIConnectionError)
        return str(caught.value.code)

    reading = deferToThread(read)
    await until(reactor, lambda: bool(live.house.backend.turns))
    live.house.backend.turn.start()
    live.house.backend.turn.say("Hello")
    stopped = ensureDeferred(live.house.drain.stop(0))

    assert "server_shutting_down" == await reading
    await stopped


@pytest_twisted.ensureDeferred
async def test_tls(live: Live) -> None:
    """Over TLS, too, what is no HTTP is answered, and the connection is closed as TLS wants it."""
    certificate = Authority.make().issue(x509.DNSName("localhost"))
    port = reactor.listenSSL(0, live.house.site, certificate.options(), interface="127.0.0.1")

    def ask(data: bytes) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        answer = b""
        with (
            socket.create_connection(("127.0.0.1", port.getHost().port), timeout=10) as plain,
            context.wrap_socket(plain) as client,
        ):
            client.sendall(data)
            while piece := client.recv(65536):
                answer += piece
        return answer

    assert (await deferToThread(ask, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    answer = await deferToThread(ask, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b'{"status":"alive"}')
    await port.stopListening()
