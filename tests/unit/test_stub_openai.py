"""
The stub of OpenAI's API does what tests and the demo rely on.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest_twisted
from openai import OpenAI, RateLimitError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, Pause, RawAnswer


def with_sdk(stub: StubOpenAI, use: Callable[[OpenAI], Any]) -> Deferred[Any]:
    """Run ``use`` in a thread, with a client of the openai SDK that is set to the stub."""

    def run() -> Any:
        with OpenAI(base_url=stub.base_url, api_key="sk-test", max_retries=0) as client:
            return use(client)

    return deferToThread(run)


class Wire(Protocol):
    """A client that sends bytes and keeps what comes, until the end."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.value)


async def exchange(stub: StubOpenAI, request: bytes) -> tuple[bytes, Exception]:
    """Send ``request`` as it is and return all that came back, and how the connection ended."""
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", stub.port)
    wire = await connectProtocol(endpoint, Wire())
    wire.transport.write(request)
    ending = await wire.ended
    return wire.data, ending


GET = b"GET /v1/things?x=%20y HTTP/1.1\r\nhost: a\r\nX-ODD-Case:  two blanks\r\n\r\n"


@pytest_twisted.ensureDeferred
async def test_the_sdk_gets_a_completion(stub_openai: StubOpenAI) -> None:
    """The openai SDK decodes the stub's whole answer, which says that it is canned."""
    ask = [{"role": "user", "content": "Hello?"}]
    answer = await with_sdk(stub_openai, lambda sdk: sdk.chat.completions.create(model="gpt-5", messages=ask))

    assert "canned answer" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == stub_openai.requests[0].usage["total_tokens"]


@pytest_twisted.ensureDeferred
async def test_the_sdk_gets_a_stream(stub_openai: StubOpenAI) -> None:
    """The openai SDK decodes each delta, and usage comes last when asked for."""
    ask = [{"role": "user", "content": "[[stub deltas=3 stop=max_tokens]]"}]

    def stream(sdk: OpenAI) -> list[Any]:
        more = {"stream": True, "stream_options": {"include_usage": True}}
        return list(sdk.chat.completions.create(model="gpt-5", messages=ask, **more))

    *chunks, finish, usage = await with_sdk(stub_openai, stream)

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "delta 1 ", "delta 2 ", "delta 3 "]
    assert finish.choices[0].finish_reason == "length"
    assert usage.choices == []
    assert usage.usage.completion_tokens == 6


@pytest_twisted.ensureDeferred
async def test_the_sdk_raises_as_directed(stub_openai: StubOpenAI) -> None:
    """A directed status is an error of the API's own shape."""
    ask = [{"role": "user", "content": "[[stub status=429 retry-after=7 message=not so fast]]"}]

    def raising(sdk: OpenAI) -> RateLimitError | None:
        try:
            sdk.chat.completions.create(model="gpt-5", messages=ask)
        except RateLimitError as error:
            return error
        return None

    error = await with_sdk(stub_openai, raising)

    assert error is not None
    assert error.response.headers["retry-after"] == "7"
    assert (error.code, error.body["message"]) == ("rate_limit_exceeded", "not so fast")


@pytest_twisted.ensureDeferred
async def test_the_sdk_lists_embeds_and_uploads(stub_openai: StubOpenAI) -> None:
    """Models, embeddings and files work through the SDK, an upload byte for byte."""
    content = bytes(range(256)) * 5

    def use(sdk: OpenAI) -> tuple[list[str], list[float], Any]:
        names = [model.id for model in sdk.models.list()]
        vector = sdk.embeddings.create(model="text-embedding-3-small", input="four").data[0].embedding
        return names, vector, sdk.files.create(file=("a.bin", content), purpose="assistants")

    names, vector, file = await with_sdk(stub_openai, use)

    assert "gpt-4o" in names
    assert vector == [0.5, -0.25, 4.0]
    assert (file.filename, file.bytes, file.purpose) == ("a.bin", len(content), "assistants")
    assert file.sha256 == sha256(content).hexdigest()


@pytest_twisted.ensureDeferred
async def test_requests_are_kept_as_they_were_spelled(stub_openai: StubOpenAI) -> None:
    """Request line, header names, their order and blanks, and the body are recorded unchanged."""
    body = b'{"a": 1,\r\n  "b":2}'
    head = b"POST /v1/odd//path?q=1 HTTP/1.1\r\nHOST: x\r\nx-Custom:\t a \r\nContent-Length: %d\r\n" % len(body)
    data, _ = await exchange(stub_openai, head + b"Connection: close\r\n\r\n" + body)
    (request,) = stub_openai.requests

    assert request.request_line == b"POST /v1/odd//path?q=1 HTTP/1.1"
    assert request.raw_headers[:2] == ((b"HOST", b" x"), (b"x-Custom", b"\t a "))
    assert request.raw_body == body
    assert json.loads(data.partition(b"\r\n\r\n")[2])["sha256"] == sha256(body).hexdigest()


@pytest_twisted.ensureDeferred
async def test_a_scripted_answer_is_written_byte_for_byte(stub_openai: StubOpenAI) -> None:
    """Not a byte is added to a scripted answer, nor changed."""
    steps = (b"data:{}\r\n\r\n", Pause(0.01), b": odd\n\n")
    headers = ((b"conTENT-type", b"text/odd"), (b"content-type", b"again"))
    stub_openai.script("/v1/things", RawAnswer(299, headers, steps))
    data, _ = await exchange(stub_openai, GET)

    assert data == (
        b"HTTP/1.1 299 Unknown\r\nconTENT-type: text/odd\r\ncontent-type: again\r\n\r\ndata:{}\r\n\r\n: odd\n\n"
    )


@pytest_twisted.ensureDeferred
async def test_scripted_answers_come_in_order_and_then_no_more(stub_openai: StubOpenAI) -> None:
    """Each scripted answer is given once; on a connection that lives on when the framing allows it."""
    stub_openai.script("/v1/things", RawAnswer.json(1, status=500), RawAnswer(200, (), (b"a", b"bc"), chunked=True))
    data, _ = await exchange(stub_openai, GET + GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\nHTTP/1.1 200 OK" in data
    assert stub_openai.connections == 1
    assert len(stub_openai.requests) == 3


@pytest_twisted.ensureDeferred
async def test_an_answer_can_die_at_each_stage(stub_openai: StubOpenAI) -> None:
    """Before the head, after it, and within a chunk."""
    chunked = ((b"Transfer-Encoding", b"chunked"),)
    stub_openai.script(
        "/v1/things",
        RawAnswer(None, steps=(End.ABORT,)),
        RawAnswer(200, chunked, (End.CLOSE,)),
        RawAnswer(200, chunked, (b"10\r\nabc", End.CLOSE)),
    )
    silence, _ = await exchange(stub_openai, GET)
    head, _ = await exchange(stub_openai, GET)
    torn, _ = await exchange(stub_openai, GET)

    assert silence == b""
    assert head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert torn.endswith(b"\r\n\r\n10\r\nabc")


@pytest_twisted.ensureDeferred
async def test_an_answer_can_wait_for_the_test(stub_openai: StubOpenAI) -> None:
    """A Deferred among the steps holds what follows it."""
    gate: Deferred[None] = Deferred()
    stub_openai.script("/v1/things", RawAnswer(200, (), (b"before", gate, b"after")))
    arrived = stub_openai.next_request()
    answer = ensureDeferred(exchange(stub_openai, GET))
    await arrived
    gate.callback(None)
    data, _ = await answer

    assert data.endswith(b"\r\n\r\nbeforeafter")


@pytest_twisted.ensureDeferred
async def test_a_silent_answer_notices_the_departure(stub_openai: StubOpenAI) -> None:
    """An answer that stalls before its head sees the client go."""
    stub_openai.script("/v1/things", RawAnswer(None, steps=(End.STALL,)))
    arrived = stub_openai.next_request()
    client = socket.create_connection(("127.0.0.1", stub_openai.port))
    client.sendall(GET)
    await arrived
    departure = stub_openai.next_departure()
    client.close()

    assert (await departure).sent == 0
