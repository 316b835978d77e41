"""
Requests that link to pictures: what is fetched for them, when, and what becomes of them when that fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from claudeproxy.config import ClaudeConfig, Secret, ServerConfig
from claudeproxy.core.chat import Image, Message, Role, Text, ToolCall, ToolResult
from claudeproxy.core.routing import OPENAI, BackendName, Fallback, ModelNames, Step
from claudeproxy.errors import InvalidImageURL
from tests.memory.doubles import MemoryFetcher
from tests.memory.wire import KEY, House, Wire

PARAM = "messages[0].content[{}].image_url.url"


@pytest.fixture
def fetcher() -> MemoryFetcher:
    """Pictures that come when a test says."""
    return MemoryFetcher()


@pytest.fixture
def house(fetcher: MemoryFetcher) -> Iterator[House]:
    """The web side with a fetcher; nothing is left in the end."""
    house = House(
        image_fetcher=fetcher,
        server=ServerConfig(max_body_bytes=20_000),
        claude=ClaudeConfig(api_key=Secret("sk-ant-test"), request_timeout=60.0),
    )
    yield house
    assert [] == house.clock.getDelayedCalls()
    assert (0, set()) == (house.drain.in_flight, house.drain._work)


def link(url: str) -> dict[str, Any]:
    """A part that links to a picture."""
    return {"type": "image_url", "image_url": {"url": url}}


def body(*parts: dict[str, Any], model: str = "sonnet", **more: Any) -> bytes:
    """A request with one message."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": parts}], **more}).encode()


def send(house: House, request_body: bytes, **options: Any) -> Wire:
    """Send a chat."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", request_body, **options)
    return wire


def finish(house: House, wire: Wire) -> int:
    """Let the turn end; return the status of the answer."""
    house.backend.turn.start()
    house.backend.turn.say("A cat.")
    house.backend.turn.end()
    status = wire.answer().status
    wire.leave()
    return status


def refused(wire: Wire) -> tuple[int, str, str]:
    """Status, code and parameter of the error that is the answer."""
    answer = wire.answer()
    wire.leave()
    return answer.status, answer.error["code"], answer.error["param"]


def test_pictures_take_the_places_of_links(house: House, fetcher: MemoryFetcher) -> None:
    """The backend is asked when all are there, and sees pictures only; a link that comes twice is fetched once."""
    call = {"id": "c", "type": "function", "function": {"name": "see", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Compare."}, link("http://a/"), link("https://b/")]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [link("http://a/")]},
    ]
    wire = send(house, json.dumps({"model": "sonnet", "messages": messages}).encode())

    assert fetcher.urls == ["http://a/", "https://b/"]
    assert {fetch.tenant for fetch in fetcher.fetches} == {sha256(KEY.encode()).hexdigest()[:16]}
    fetcher.fetches[1].come("BBBB")
    assert house.backend.turns == []
    fetcher.fetches[0].come("AAAA")
    first, second = Image("image/png", "AAAA"), Image("image/png", "BBBB")
    assert house.backend.turn.request.messages == (
        Message(Role.USER, (Text("Compare."), first, second)),
        Message(Role.ASSISTANT, (ToolCall("c", "see", "{}"),)),
        Message(Role.USER, (ToolResult("c", (first,)),)),
    )
    assert finish(house, wire) == 200


def test_a_few_are_fetched_at_once(house: House, fetcher: MemoryFetcher) -> None:
    """Four at a time, in their order."""
    wire = send(house, body(*(link(f"http://{number}/") for number in range(7))))

    for count in (4, 5, 6, 7, 7, 7, 7):
        assert len(fetcher.fetches) == count
        next(fetch for fetch in fetcher.fetches if not fetch.done.called).come()
    assert fetcher.urls == [f"http://{number}/" for number in range(7)]
    assert finish(house, wire) == 200


@pytest.mark.parametrize("stream", [True, False])
def test_one_that_cannot_be_had(house: House, fetcher: MemoryFetcher, stream: bool) -> None:
    """The client learns which, with a status of its own in a stream too; the others are given up, no model is asked."""
    wire = send(house, body(link("http://a/"), link("http://b/"), link("http://c/"), stream=stream))
    failing = fetcher.fetches[1]
    failing.done.errback(InvalidImageURL("No.", param=failing.link.param))

    assert refused(wire) == (400, "invalid_image_url", PARAM.format(1))
    assert [fetch.cancelled for fetch in fetcher.fetches] == [True, False, True]
    assert house.backend.turns == []


def test_nothing_is_fetched_where_that_is_off(house: House) -> None:
    """Without a fetcher a link is refused by name."""
    off = House()
    wire = send(off, body({"type": "text", "text": "x"}, link("http://a/")))

    assert refused(wire) == (400, "unsupported_parameter", PARAM.format(1))


def test_nothing_is_fetched_for_strangers_and_wrong_requests(house: House, fetcher: MemoryFetcher) -> None:
    """Only a request that would be served is worth it."""
    strange = send(house, body(link("http://a/")), key="wrong")
    assert refused(strange)[0] == 401
    wrong = send(house, body(link("http://a/"), n=2))
    assert refused(wrong)[2] == "n"
    nobody = send(house, body(link("http://a/"), model="nobody"), headers={"X-Claude-Code": "true"})
    assert refused(nobody)[1] == "model_not_found"
    lost = send(house, body(link("http://a/")), headers={"X-Claude-Session-ID": "abc"})
    assert refused(lost)[1] == "invalid_session_id"
    broken = send(house, body(link("http://a/"), link("data:image/png;base64,x")))
    assert refused(broken)[2] == PARAM.format(1)

    assert fetcher.fetches == []


def test_nothing_is_fetched_for_an_upstream(house: House, fetcher: MemoryFetcher) -> None:
    """An upstream gets the links as they are."""
    sent = body(link("http://a/"), model="gpt-4o")
    wire = send(house, sent)

    assert house.relay.exchange.body == sent
    assert fetcher.fetches == []
    house.relay.exchange.head()
    house.relay.exchange.end()
    wire.leave()


def test_as_many_as_the_api_takes(house: House, fetcher: MemoryFetcher) -> None:
    """A hundred different ones; the next is named. One that comes again does not count."""
    links = [link(f"http://{number}/") for number in range(100)]
    wire = send(house, body(*links, link("http://0/"), link("http://100/")))
    assert refused(wire) == (400, "invalid_value", PARAM.format(101))
    assert fetcher.fetches == []

    wire = send(house, body(*links, link("http://0/")))
    while not house.backend.turns:
        next(fetch for fetch in fetcher.fetches if not fetch.done.called).come()
    assert finish(house, wire) == 200


@pytest.mark.parametrize(("sizes", "served"), [((10_000, 5_000), True), ((10_000, 5_001), False)])
def test_all_together_are_no_larger_than_a_body(
    house: House, fetcher: MemoryFetcher, sizes: tuple[int, int], served: bool
) -> None:
    """Links get no more into a conversation than could be sent; one that comes twice counts twice."""
    wire = send(house, body(link("http://a/"), link("http://b/"), link("http://b/")))
    for fetch, size in zip(fetcher.fetches, sizes, strict=True):
        fetch.come("A" * size)

    if served:
        assert finish(house, wire) == 200
    else:
        assert refused(wire) == (400, "invalid_image_url", PARAM.format(1))


def test_a_client_that_leaves(house: House, fetcher: MemoryFetcher) -> None:
    """What was begun for it is given up."""
    wire = send(house, body(link("http://a/"), link("http://b/")))
    wire.leave()

    assert [fetch.cancelled for fetch in fetcher.fetches] == [True, True]
    assert house.backend.turns == []


@pytest.mark.parametrize("came", [False, True])
def test_the_time_of_the_request(house: House, fetcher: MemoryFetcher, came: bool) -> None:
    """Pictures and answer have ``REQUEST_TIMEOUT_MS`` together."""
    wire = send(house, body(link("http://a/")))
    house.clock.advance(40)
    if came:
        fetcher.fetches[0].come()
        house.backend.turn.start()
    house.clock.advance(19.9)
    assert wire.sent == b""
    house.clock.advance(0.2)

    assert refused(wire)[:2] == (504, "timeout")
    assert (house.backend.turn if came else fetcher.fetches[0]).cancelled


def test_the_end_of_the_daemon(house: House, fetcher: MemoryFetcher) -> None:
    """A stop does not wait for pictures longer than for answers."""
    wire = send(house, body(link("http://a/")))
    stopped = Deferred.fromCoroutine(house.drain.stop(10))
    house.clock.advance(10)

    assert refused(wire)[:2] == (503, "server_shutting_down")
    assert fetcher.fetches[0].cancelled
    assert stopped.called


def test_a_picture_that_cannot_be_had_is_the_requests_own_fault(fetcher: MemoryFetcher) -> None:
    """No other backend of a chain is asked; where nothing is fetched, one that does it by itself takes over."""
    for fetches in (fetcher, None):
        house = House(
            image_fetcher=fetches,
            fallbacks=(
                Fallback(ModelNames(("sonnet",)), (Step(BackendName.CLAUDE), Step(BackendName.UPSTREAM, OPENAI))),
            ),
        )
        wire = send(house, body(link("http://a/")))
        if fetches is not None:
            fetcher.fetches[0].done.errback(InvalidImageURL("No.", param="x"))
            assert refused(wire)[:2] == (400, "invalid_image_url")
            assert house.relay.exchanges == []
        else:
            assert b"http://a/" in house.relay.exchange.body
            wire.leave()
