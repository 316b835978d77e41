"""
What becomes of clients that break off, trickle, flood or do not read: nothing of them stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from claudeproxy.config import ServerConfig
from claudeproxy.errors import ClaudeProxyError, HeadersTooLarge, URITooLong
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.claude import until
from tests.live.whole import Client, Whole, request
from tests.memory.wire import KEY, chat_body

Make = Callable[..., Whole]
CHAT = "/v1/chat/completions"
EVENTS = ((b"Content-Type", b"text/event-stream"),)
POST = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"PO",
        POST,
        POST + b"Content-Length: 100\r\n\r\n" + b"x" * 50,
        POST + b"Content-Length: 3000000\r\n\r\n" + b"x" * 2_000_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        POST + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    ],
    ids=["nothing", "request line", "head", "half a body", "half a file", "half a chunk", "expecting"],
)
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_before_its_request_is_whole(whole: Make, sent: bytes, reset: bool) -> None:
    """Half a request is no request: no backend hears of it."""
    house = whole()
    client = await house.client()
    client.send(sent)
    channels = house.house.site.channels
    size = len(sent.partition(b"\r\n\r\n")[2])
    if b"\r\n" in sent:
        # But for the framing of a chunk, all has arrived.
        await until(reactor, lambda: any(each.requests[0].received >= size - 4 for each in channels if each.requests))
    else:
        await until(reactor, lambda: bool(channels))
    await client.leave(reset=reset)

    await house.at_rest()
    assert 0 == house.claude.started
    assert [499] * (b"\r\n" in sent) == [event["access"]["status"] for event in house.house.events]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("stage", ["waiting", "streaming"])
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_its_answer(
    whole: Make, stub_openai: StubOpenAI, model: str, stage: str, reset: bool
) -> None:
    """Whether it waits for the first byte or for the next, its work ends within a second."""
    house = whole("hangs-before-turn" if stage == "waiting" else "hangs-mid-turn")
    begun = RawAnswer(200, EVENTS, (b"data: word \n\n", End.STALL), chunked=True)
    stub_openai.script(CHAT, RawAnswer(None, (), (End.STALL,)) if stage == "waiting" else begun)
    client = await house.client()
    client.send(request("POST", CHAT, chat_body(model, stream=True)))
    if stage == "streaming":
        await client.heard(b"word ")
    else:
        await until(reactor, lambda: bool(stub_openai.requests or house.in_use()["working processes"]))
    await client.leave(reset=reset)

    await house.at_rest(within=1)
    await house.claude.all_ended(within=2)
    await house.at_rest()


@pytest.mark.parametrize("size", [0, 100_000], ids=["little", "much"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_with_requests_in_line(whole: Make, size: int) -> None:
    """
    Requests that wait for one before them go with their client.

    A client that has sent much ahead is not read any more, and so its leaving is not seen: then the request has its
    time, and not more.
    """
    house = whole("hangs-before-turn", {"REQUEST_TIMEOUT_MS": "1000"})
    client = await house.client()
    client.send(request("POST", CHAT, chat_body()) + request("POST", CHAT, chat_body(user="u" * size)) * 2)
    await until(reactor, lambda: house.in_use()["working processes"] == 1)
    if size:
        (channel,) = house.house.site.channels
        await until(reactor, lambda: sum(map(len, channel._dataBuffer)) > 16384)
    await client.leave(reset=True)

    await house.at_rest()
    assert house.claude.started <= (2 if size else 1)
    await house.at_rest()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (POST + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n", HeadersTooLarge),
        (POST + b"X: " + b"y" * MEGABYTE + b"\r\n\r\n", HeadersTooLarge),
        (b"GET /" + b"x" * MEGABYTE + b" HTTP/1.1\r\n\r\n", URITooLong),
    ],
    ids=["10,000 headers", "a header of 1 MiB", "a request line of 1 MiB"],
)
@pytest_twisted.ensureDeferred
async def test_a_client_that_floods(whole: Make, sent: bytes, error: type[ClaudeProxyError]) -> None:
    """A head that is too large is refused in the form of all errors, and the client reads it after all that it sent."""
    house = whole()
    client = await house.client()
    client.send(sent)
    answer = await client.answer()

    assert (error.status, error.code) == (answer.status, answer.error["code"])
    await client.leave()
    await house.at_rest()


@pytest.mark.parametrize("sent", [POST, POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100], ids=["head", "body"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_trickles(whole: Make, sent: bytes) -> None:
    """A client that does not come to an end with its request gets 408, and its connection ends."""
    house = whole(server=ServerConfig(client_header_timeout=0.2, client_body_timeout=0.2))
    client = await house.client()
    client.send(sent)
    answer = await client.answer()

    assert (408, "request_timeout") == (answer.status, answer.error["code"])
    await client.leave()
    await house.at_rest()


async def deaf_client(house: Whole) -> Client:
    """
    A client that connects and does not read.
    """
    client = await house.client()
    client.socket.pauseProducing()
    return client


@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_never_reads(whole: Make, stub_openai: StubOpenAI, model: str) -> None:
    """However long a client does not read its stream, its process or upstream connection is free at the time limit."""
    piece = "x" * 65536
    settings = {"REQUEST_TIMEOUT_MS": "4000", "MAX_OUTPUT_BYTES": "1000000000"}
    house = whole("normal", settings, text=piece, deltas=500, request_timeout=1.5)
    stub_openai.script(CHAT, RawAnswer(200, EVENTS, [b"data: %b\n\n" % piece.encode()] * 500, chunked=True))
    client = await deaf_client(house)
    client.send(request("POST", CHAT, chat_body(model, stream=True)))

    def held() -> int:
        in_use: dict[str, Any] = house.in_use()
        return int(in_use["working processes"] + in_use["busy upstream connections"])

    await until(reactor, lambda: held() == 1)
    await until(reactor, lambda: held() == 0)
    client.socket.resumeProducing()
    answer = await client.answer()

    # The relay was within an event, to which nothing can be added.
    turn = model == "sonnet"
    assert (200, turn, not turn) == (answer.status, answer.complete, client.lost)
    assert turn == (b'"code":"timeout"' in answer.body[-1000:])
    assert len(answer.body) < 500 * len(piece)
    if turn:
        # Its response has a proper end, so the connection would serve on.
        await client.leave()
    await house.claude.all_ended()
    await house.at_rest()
