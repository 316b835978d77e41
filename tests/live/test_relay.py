"""
The relay between real sockets: what arrives where, byte for byte.
"""

from __future__ import annotations

import gzip
import io
import tempfile
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from claudeproxy.core.events import Usage
from claudeproxy.core.relay import RelayRequest
from claudeproxy.errors import (
    ClaudeProxyError,
    ClientKeyNotAllowed,
    InvalidHeaderValue,
    MalformedRequest,
    MethodNotSupported,
    PassthroughDisabled,
    PassthroughNotConfigured,
    UnknownURL,
)
from claudeproxy.interfaces import IRelay
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import RawAnswer
from tests.live.relaying import KEY, Make, MemorySink, chat, post


class Refusing(Protocol):
    """
    Refuses an upload as soon as it begins, and reads no more of it.
    """

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\n")
        reactor.callLater(0.02, transport.write, b"too large")


ODD_STREAM = (
    b": a comment\r\n\r\n",
    b'data:{"choices":[],"vendor":{"x":1}}\n\n',
    b'event: odd\ndata:   {"a" :  1}\r\n\r\n',
    b"data: caf\xc3",
    b"\xa9\n\n",
    b"id: 7\rdata: [DONE]\r\r",
)


@pytest_twisted.ensureDeferred
async def test_is_a_relay(relay_to: Make) -> None:
    """The relay is what the web side asks for, under the name that X-Backend-Mode says."""
    relay = relay_to().relay

    assert verifyObject(IRelay, relay)
    assert relay.name == "openai-passthrough"


@pytest_twisted.ensureDeferred
async def test_the_request_arrives_as_it_was_written(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Not a byte of the body is changed, and path and query are joined to the base URL."""
    request = chat("h\u00e9llo \\u00e9")

    await relay_to().answer(RelayRequest(request.method, b"/chat/completions?a=%2F&b", request.headers, request.body))

    (got,) = stub_openai.requests
    assert got.request_line == b"POST /v1/chat/completions?a=%2F&b HTTP/1.1"
    assert got.raw_body == request.body


@pytest.mark.parametrize("chunked", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_stream_arrives_byte_for_byte(stub_openai: StubOpenAI, relay_to: Make, chunked: bool) -> None:
    """Unknown fields, odd spacing, comments and every kind of line end travel unchanged."""
    event_stream = ((b"Content-Type", b"text/event-stream"),)
    stub_openai.script("/v1/chat/completions", RawAnswer(200, event_stream, ODD_STREAM, chunked=chunked))

    sink = await relay_to().answer(chat(stream=True))

    assert sink.body == b"".join(ODD_STREAM)
    assert sink.header(b"Content-Type") == [b"text/event-stream"]
    assert sink.header(b"Cache-Control") == [b"no-cache"]
    assert sink.header(b"Content-Length") == []


@pytest_twisted.ensureDeferred
async def test_head(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Status, rate limits and processing time travel; what is the connection's or our own does not."""
    sent = (
        (b"Connection", b"X-Hop"),
        (b"X-Hop", b"1"),
        (b"Server", b"cloudflare"),
        (b"x-request-id", b"req_9"),
        (b"x-ratelimit-remaining-tokens", b"149984"),
        (b"openai-processing-ms", b"12"),
        (b"Set-Cookie", b"__cf_bm=1"),
        (b"Retry-After", b"7"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"2"),
    )
    stub_openai.script("/v1/chat/completions", RawAnswer(429, sent, (b"{}",)))

    sink = await relay_to().answer(chat())

    assert sink.status == 429
    assert sorted((name.lower(), value) for name, value in sink.headers) == [
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
        (b"openai-processing-ms", b"12"),
        (b"retry-after", b"7"),
        (b"x-ratelimit-remaining-tokens", b"149984"),
        (b"x-upstream-request-id", b"req_9"),
    ]


@pytest_twisted.ensureDeferred
async def test_credentials_are_swapped(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """The upstream gets its own key; the client's stays here, and so do the routing headers."""
    ours = ((b"Authorization", b"Bearer ours"), (b"x-api-key", b"ours"), (b"X-Claude-Code", b"false"))

    await relay_to().answer(chat(headers=(*ours, (b"OpenAI-Organization", b"org"))))

    (got,) = stub_openai.requests
    assert got.headers["authorization"] == f"Bearer {KEY}"
    assert got.headers["openai-organization"] == "org"
    assert got.headers["host"] == f"127.0.0.1:{stub_openai.port}"
    assert not {"x-api-key", "x-claude-code"} & set(got.headers)


@pytest_twisted.ensureDeferred
async def test_clients_bring_their_own_key(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """X-OpenAI-API-Key replaces the server's key, also where the server has none."""
    await relay_to().answer(chat(client_key="sk-mine"))
    await relay_to(api_key=None).answer(chat(client_key="sk-mine"))

    assert [each.headers["authorization"] for each in stub_openai.requests] == ["Bearer sk-mine"] * 2


@pytest_twisted.ensureDeferred
async def test_a_local_server_needs_no_key(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Where the operator named the upstream and gave no key, none is sent."""
    await relay_to(api_key=None).answer(chat(headers=((b"Authorization", b"Bearer ours"),)))

    (got,) = stub_openai.requests
    assert "authorization" not in got.headers


@pytest.mark.parametrize(
    ("settings", "fields", "error"),
    [
        ({"enabled": False}, {}, PassthroughDisabled),
        ({"allow_client_key": False}, {"client_key": "sk-mine"}, ClientKeyNotAllowed),
        ({"api_key": None, "base_url_given": False}, {}, PassthroughNotConfigured),
        ({}, {"client_key": "sk\r\nX: y"}, InvalidHeaderValue),
        ({}, {"headers": ((b"X-A", b"b\r\nX-Smuggled: 1"),)}, InvalidHeaderValue),
        ({}, {"headers": ((b"X-A\n", b"b"),)}, InvalidHeaderValue),
    ],
)
@pytest_twisted.ensureDeferred
async def test_is_refused_here(
    stub_openai: StubOpenAI,
    relay_to: Make,
    settings: dict[str, object],
    fields: dict[str, object],
    error: type[ClaudeProxyError],
) -> None:
    """What must not go to the upstream does not."""
    with pytest.raises(error):
        await relay_to(**settings).answer(chat(**fields))

    assert stub_openai.requests == []


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        (b"TRACE", b"/models", MethodNotSupported),
        (b"GET", b"/../admin", UnknownURL),
        (b"GET", b"/files/%2e%2E/x", UnknownURL),
        (b"GET", b"/files/..%2F..%5Cx", UnknownURL),
        (b"GET", b"/a b", MalformedRequest),
        (b"GET", b"/a\r\nX: y", MalformedRequest),
        (b"G T", b"/models", MalformedRequest),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_way_around_the_base_url(
    stub_openai: StubOpenAI, relay_to: Make, method: bytes, path: bytes, error: type[ClaudeProxyError]
) -> None:
    """A request cannot climb out of the base URL's path, break the request line, or have our key traced."""
    with pytest.raises(error):
        await relay_to().answer(RelayRequest(method, path, ()))

    assert stub_openai.requests == []


@pytest_twisted.ensureDeferred
async def test_dots_in_names_are_no_climbing(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """Names and queries with dots in them are no dot segments."""
    for path in (b"/models/gpt-4.1..x", b"/files/.hidden", b"/x%20y?a=/../b"):
        await relay_to().answer(RelayRequest(b"GET", path, ()))

    assert [each.path for each in stub_openai.requests] == ["/v1/models/gpt-4.1..x", "/v1/files/.hidden", "/v1/x%20y"]


@pytest.mark.parametrize(
    ("accepts", "tee", "asked"), [("gzip, br", True, "identity"), ("gzip, br", False, "gzip"), (None, False, None)]
)
@pytest_twisted.ensureDeferred
async def test_accept_encoding(
    stub_openai: StubOpenAI, relay_to: Make, accepts: str | None, tee: bool, asked: str | None
) -> None:
    """A chat is asked for uncompressed, anything else as the client asked."""
    headers = () if accepts is None else ((b"Accept-Encoding", accepts.encode()),)

    await relay_to().answer(post("/embeddings", b"{}", headers=headers, tee_usage=tee))

    (got,) = stub_openai.requests
    assert got.headers.get("accept-encoding") == asked


@pytest_twisted.ensureDeferred
async def test_compressed_answers_stay_compressed(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """An upstream that compresses all the same is passed on as it is, and the tee does not stumble over it."""
    body = gzip.compress(b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    headers = ((b"Content-Encoding", b"gzip"), (b"Content-Length", b"%d" % len(body)))
    stub_openai.script("/v1/chat/completions", RawAnswer(200, headers, (body,)))
    sink = MemorySink()

    usage = await relay_to().send(chat(), sink)

    assert (sink.body, usage) == (body, None)
    assert sink.header(b"Content-Encoding") == [b"gzip"]
    assert sink.header(b"Content-Length") == [b"%d" % len(body)]


@pytest.mark.parametrize("stream", [True, False])
@pytest_twisted.ensureDeferred
async def test_usage_is_seen_on_the_way(stub_openai: StubOpenAI, relay_to: Make, stream: bool) -> None:
    """The relay's result is what the upstream counted."""
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"How are you?"}],"stream":%b,' % (
        b"true" if stream else b"false"
    )
    request = post("/chat/completions", body + b'"stream_options":{"include_usage":true}}', tee_usage=True)

    usage = await relay_to().send(request)

    (got,) = stub_openai.requests
    assert got.usage is not None and isinstance(usage, Usage)
    assert (usage.prompt_tokens, usage.output_tokens) == (got.usage["prompt_tokens"], got.usage["completion_tokens"])


@pytest_twisted.ensureDeferred
async def test_methods_and_bodiless_answers(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """HEAD, 204 and 304 have no body and no invented length; the connection serves the next request all the same."""
    live = relay_to()
    stub_openai.script(
        "/v1/x",
        RawAnswer(200, ((b"Content-Length", b"5"),), (b"hello",)),
        RawAnswer(204),
        RawAnswer(304, ((b"ETag", b"e"),)),
        RawAnswer(200, ((b"Content-Length", b"0"),)),
    )

    head, gone, same, empty = [
        await live.answer(RelayRequest(method, b"/x", ())) for method in (b"HEAD", b"DELETE", b"GET", b"PUT")
    ]

    assert [each.status for each in (head, gone, same, empty)] == [200, 204, 304, 200]
    assert [each.body for each in (head, gone, same, empty)] == [b""] * 4
    assert [each.header(b"Content-Length") for each in (head, gone, same, empty)] == [[b"5"], [], [], [b"0"]]
    assert [each.headers.get("content-length") for each in stub_openai.requests] == [None, None, None, "0"]
    assert stub_openai.connections == 1


@pytest_twisted.ensureDeferred
async def test_informational_answers_are_skipped(stub_openai: StubOpenAI, relay_to: Make) -> None:
    """What comes before the real head is not taken for it."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    stub_openai.script("/v1/x", RawAnswer(None, (), (early, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")))

    sink = await relay_to().answer(RelayRequest(b"GET", b"/x", ()))

    assert (sink.status, sink.body) == (200, b"hi")


@pytest.mark.parametrize("file", [True, False])
@pytest_twisted.ensureDeferred
async def test_large_bodies(stub_openai: StubOpenAI, relay_to: Make, file: bool) -> None:
    """An upload of many megabytes arrives whole, from memory and from a file that was read before."""
    data = bytes(range(256)) * 40_000
    if file:
        with tempfile.TemporaryFile() as body:
            body.write(data)
            await relay_to().answer(post("/upload", body))
    else:
        await relay_to().answer(post("/upload", data))

    (got,) = stub_openai.requests
    assert got.raw_body == data
    assert got.headers["content-length"] == str(len(data))


@pytest.mark.parametrize("body", [b"x" * 30_000_000, io.BytesIO(b"x" * 30_000_000)], ids=["bytes", "file"])
@pytest_twisted.ensureDeferred
async def test_a_refusal_before_the_upload_is_over(relay_to: Make, body: Any) -> None:
    """An upstream that answers at once and reads no further is heard; its connection is not used again."""
    listening = reactor.listenTCP(0, Factory.forProtocol(Refusing), interface="127.0.0.1")
    live = relay_to(base_url=f"http://127.0.0.1:{listening.getHost().port}/v1")

    sink = await live.answer(post("/files", body))

    assert (sink.status, sink.body) == (413, b"too large")
    assert live.client.idle_connections == 0
    await listening.stopListening()
