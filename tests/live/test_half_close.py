"""
Clients that close their side of the connection after their request, and read on: what they still get.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import reactor

from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, RawAnswer
from tests.live.claude import until
from tests.live.whole import Client, Whole, request
from tests.memory.wire import Answer, chat_body, parse

Make = Callable[..., Whole]
CHAT = "/v1/chat/completions"
EVENTS = ((b"Content-Type", b"text/event-stream"),)
HEALTH = request("GET", "/health")


async def half_closed(house: Whole, sent: bytes) -> Client:
    """
    A client that has sent all that it ever sends.
    """
    client = await house.client()
    client.send(sent)
    client.socket.loseWriteConnection()
    return client


async def answers(client: Client) -> list[Answer]:
    """
    All answers that the client gets; then the server has closed the connection.
    """
    await until(reactor, lambda: client.lost, 5)
    data, found = client.data, []
    while data:
        answer, data = parse(data, closing=True)
        found.append(answer)
    assert all(each.complete for each in found)
    return found


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (HEALTH, [200]),
        (request("GET", "/health/live"), [200]),
        (request("GET", "/v1/models"), [200]),
        (request("GET", "/openapi.json"), [200]),
        (request("GET", "/nope"), [404]),
        (request("POST", CHAT, b"{"), [400]),
        (request("POST", CHAT, chat_body("sonnet", n=2)), [400]),
        (b"nonsense\r\n\r\n", [400]),
        (HEALTH * 5, [200] * 5),
        (HEALTH + request("GET", "/nope") + HEALTH, [200, 404, 200]),
        (HEALTH + b"GET /hea", [200]),
        (HEALTH + b"nonsense\r\n\r\n", [200, 400]),
        (request("GET", "/health", headers={"Connection": "close"}), [200]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_ready_at_once(whole: Make, sent: bytes, statuses: list[int]) -> None:
    """All answers that are ready at once arrive whole, and then the connection ends."""
    house = whole()
    client = await half_closed(house, sent)

    assert statuses == [answer.status for answer in await answers(client)]
    await house.at_rest()


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_an_upstream_that_answers_at_once(whole: Make, stub_openai: StubOpenAI, stream: bool) -> None:
    """So does what an upstream answers at once, also behind others and before others."""
    house = whole()
    chat = request("POST", CHAT, chat_body("gpt-4o", stream=stream))
    client = await half_closed(house, HEALTH + chat + HEALTH + chat)

    assert [200] * 4 == [answer.status for answer in await answers(client)]
    assert [200] * 4 == [event["access"]["status"] for event in house.house.events]
    assert not any("client_left" in event["access"] for event in house.house.events)
    await house.at_rest()


@pytest.mark.parametrize("stage", ["waiting", "streaming"])
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
@pytest_twisted.ensureDeferred
async def test_what_takes_its_time(whole: Make, stub_openai: StubOpenAI, model: str, stage: str) -> None:
    """A turn or a relay that is not done at once ends like that of a client that has left: within a second."""
    house = whole("hangs-before-turn" if stage == "waiting" else "hangs-mid-turn")
    begun = RawAnswer(200, EVENTS, (b"data: word \n\n", End.STALL), chunked=True)
    stub_openai.script(CHAT, RawAnswer(None, (), (End.STALL,)) if stage == "waiting" else begun)
    client = await house.client()
    client.send(request("POST", CHAT, chat_body(model, stream=True)) + HEALTH)
    if stage == "streaming":
        await client.heard(b"word ")
    else:
        await until(reactor, lambda: bool(stub_openai.requests or house.in_use()["working processes"]))
    client.socket.loseWriteConnection()

    await house.at_rest(within=1)
    await until(reactor, lambda: client.lost)
    await house.claude.all_ended(within=2)
    (event,) = house.house.events
    assert event["access"]["client_left"] and event["access"]["status"] == (499 if stage == "waiting" else 200)
