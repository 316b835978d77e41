"""
The stub of Anthropic's API does what tests and the demo rely on.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import PartialDownloadError, ResponseDone, ResponseFailed

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.wire.sse import EventDecoder


def asking(*texts: str, stream: bool = False) -> dict[str, Any]:
    """Return a request in which the user said ``texts``, with an answer between each."""
    messages: list[dict[str, Any]] = []
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
    return {"model": "claude-test", "max_tokens": 100, "stream": stream, "messages": messages[:-1]}


async def post(stub: StubAnthropic, body: dict[str, Any]) -> Any:
    """Post ``body`` as a client without kept connections would."""
    return await treq.post(f"{stub.url}/v1/messages?beta=true", json=body, persistent=False, unbuffered=True)


class Reading(Protocol):
    """Reads a body and says how it ended; can leave before that."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.started: Deferred[None] = Deferred()
        self.ended: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if not self.started.called:
            self.started.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.value)


def events(data: bytes | bytearray) -> list[dict[str, Any]]:
    """Return the events of a stream, decoded."""
    return [json.loads(event.data) for event in EventDecoder(1 << 20).feed(bytes(data))]


def text_of(message: dict[str, Any]) -> str:
    """Return the answer's text."""
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


@pytest_twisted.ensureDeferred
async def test_the_answer_says_that_it_is_canned(stub_anthropic: StubAnthropic) -> None:
    """Nobody takes the stub for a model, and the user's words come back."""
    message = await (await post(stub_anthropic, asking("How are you?"))).json()

    assert "canned answer" in text_of(message)
    assert text_of(message).endswith("How are you?")
    assert stub_anthropic.requests[0].path == "/v1/messages"
    assert stub_anthropic.requests[0].usage == message["usage"]


@pytest_twisted.ensureDeferred
async def test_the_stub_remembers_what_the_conversation_holds(stub_anthropic: StubAnthropic) -> None:
    """A name said earlier in the messages is known, one that was not is not."""
    told = await (await post(stub_anthropic, asking("My name is Ada.", "What is my name?"))).json()
    untold = await (await post(stub_anthropic, asking("What is my name?"))).json()

    assert text_of(told) == "Your name is Ada."
    assert text_of(untold) == "You have not told me your name."


@pytest_twisted.ensureDeferred
async def test_a_stream_has_the_apis_events(stub_anthropic: StubAnthropic) -> None:
    """Thinking comes before text, each in its block, and the end says why."""
    asked = asking("[[stub thinking=let me see text=one two stop=max_tokens]]", stream=True)
    stream = events(await (await post(stub_anthropic, asked)).content())

    assert [event["type"] for event in stream if event["type"] != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "let me see"
    assert [delta["text"] for delta in deltas if "text" in delta] == ["one", " two"]
    assert stream[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest_twisted.ensureDeferred
async def test_an_error_has_the_apis_form(stub_anthropic: StubAnthropic) -> None:
    """Status, words and Retry-After are as directed."""
    response = await post(stub_anthropic, asking("[[stub status=429 retry-after=30 message=slow down]]"))

    assert response.code == 429
    assert response.headers.getRawHeaders("retry-after") == ["30"]
    error = (await response.json())["error"]
    assert error == {"type": "rate_limit_error", "message": "slow down"}


@pytest_twisted.ensureDeferred
async def test_a_directive_that_is_none_is_refused(stub_anthropic: StubAnthropic) -> None:
    """A slip in a test does not pass as an ordinary prompt."""
    response = await post(stub_anthropic, asking("[[stub delatas=3]]"))

    assert response.code == 400
    assert "delatas" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("directive", "deltas"),
    [("deltas=4 die-after=2", 2), ("deltas=3 every=0.01 die-after=9", 3), ("bytes=4000 deltas=4 die-after=1", 1)],
)
@pytest_twisted.ensureDeferred
async def test_a_death_leaves_the_answer_incomplete(directive: str, deltas: int, stub_anthropic: StubAnthropic) -> None:
    """The deltas before it arrive, and no client can take the end for a proper one."""
    reading = Reading()
    (await post(stub_anthropic, asking(f"[[stub {directive}]]", stream=True))).deliverBody(reading)
    ending = await reading.ended

    assert isinstance(ending, ResponseFailed | PartialDownloadError)
    assert sum(event["type"] == "content_block_delta" for event in events(reading.data)) == deltas
    assert stub_anthropic.departures == 0


@pytest_twisted.ensureDeferred
async def test_a_departure_is_noticed(stub_anthropic: StubAnthropic) -> None:
    """The stub sees the client of a hanging answer leave."""
    reading = Reading()
    (await post(stub_anthropic, asking("[[stub hang]]", stream=True))).deliverBody(reading)
    await reading.started
    departure = stub_anthropic.next_departure()
    reading.transport.stopProducing()
    request = await departure
    await reading.ended

    assert request is stub_anthropic.requests[0]
    assert request.gone
    assert stub_anthropic.departures == 1


@pytest_twisted.ensureDeferred
async def test_a_slow_client_pauses_the_answer(stub_anthropic: StubAnthropic) -> None:
    """The stub writes no more than the buffers between it and its client hold."""
    reading = Reading()
    size = 30_000_000
    asked = asking(f"[[stub bytes={size} deltas=300]]", stream=True)
    (await post(stub_anthropic, asked)).deliverBody(reading)
    await reading.started
    reading.transport.pauseProducing()
    (request,) = stub_anthropic.requests
    while not request.paused:
        await treq.get(stub_anthropic.url, persistent=False)  # a turn of the reactor that takes no fixed time
    assert request.sent < size
    reading.transport.resumeProducing()
    ending = await reading.ended

    assert isinstance(ending, ResponseDone)
    assert request.sent > size
    assert len(reading.data) > size


@pytest_twisted.ensureDeferred
async def test_tokens_can_be_counted(stub_anthropic: StubAnthropic) -> None:
    """The counting route answers in the API's form."""
    url = f"{stub_anthropic.url}/v1/messages/count_tokens"
    response = await treq.post(url, json=asking("one two three"), persistent=False)

    assert await response.json() == {"input_tokens": 3}


@pytest_twisted.ensureDeferred
async def test_a_stopped_stub_leaves_nothing(stub_anthropic: StubAnthropic) -> None:
    """A client that hangs on does not keep the stub from stopping."""
    stub = await StubAnthropic().listen(reactor)
    reading = Reading()
    (await post(stub, asking("[[stub hang]]", stream=True))).deliverBody(reading)
    await reading.started
    await stub.stop()

    assert isinstance(await reading.ended, ResponseFailed)
    assert stub.departures == 0
