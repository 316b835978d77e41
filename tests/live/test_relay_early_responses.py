"""
Upstreams that answer before they have read the request.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from claudeproxy.backends.openai.connection import Connection
from claudeproxy.core.relay import RelayRequest
from tests.live.claude import until
from tests.live.relaying import Make, MemorySink

BODY = b'{"error":{"message":"too large"}}'
RESPONSE = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" + BODY
UPLOAD = RelayRequest(b"POST", b"/files", ((b"Content-Type", b"application/octet-stream"),), b"x" * 2_000_000)


def listening() -> socket.socket:
    """A socket that nobody serves but the test."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    server.settimeout(5)  # no thread of a test that fails may wait for ever
    return server


def refuse(server: socket.socket, status: int, *, close: bool) -> socket.socket:
    """Answer one request when its head is there, and read no more of it."""
    connection, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1000)
    connection.sendall(RESPONSE % (status, len(BODY)))
    if close:
        connection.close()
    return connection


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500])
@pytest_twisted.ensureDeferred
async def test_a_refusal_during_the_upload(relay_to: Make, status: int) -> None:
    """Its response is relayed each time, although the upstream closes on the rest of the upload, which resets."""
    with listening() as server:
        own = RelayRequest(UPLOAD.method, UPLOAD.path, UPLOAD.headers, UPLOAD.body, client_key="k")
        live = relay_to(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1", breaker_failures=0)
        for _ in range(20):
            served = deferToThread(refuse, server, status, close=True)
            sink = MemorySink()
            await live.relay.relay(own, sink)
            await served
            assert (sink.status, sink.body) == (status, BODY)


@pytest_twisted.ensureDeferred
async def test_a_refusal_that_keeps_the_connection_open(relay_to: Make) -> None:
    """The rest of the upload, which nobody reads, is not waited for."""
    with listening() as server:
        live = relay_to(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        served = deferToThread(refuse, server, 413, close=False)
        sink = MemorySink()
        await live.relay.relay(UPLOAD, sink).addTimeout(10, reactor)  # type: ignore[arg-type]
        (await served).close()

    assert (sink.status, sink.body) == (413, BODY)


@pytest_twisted.ensureDeferred
async def test_a_reset_together_with_the_response(relay_to: Make) -> None:
    """A connection whose next write fails is read to its end first."""
    with listening() as server:
        live = relay_to(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        sink = MemorySink()
        relayed = live.relay.relay(UPLOAD, sink)
        server.setblocking(False)
        await until(reactor, lambda: live.client.busy_connections == 1)
        server.setblocking(True)
        upstream, _ = server.accept()
        (connection,) = live.client._open
        assert isinstance(connection, Connection)
        transport: Any = connection.transport
        # The reactor hears of nothing meanwhile: response and reset are there when it writes next.
        upstream.sendall(RESPONSE % (413, len(BODY)))
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        upstream.close()
        failed = None
        while failed is None:
            failed = transport.doWrite()
        transport.connectionLost(Failure(failed))
        await relayed

    assert (sink.status, sink.body) == (413, BODY)
