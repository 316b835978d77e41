"""
Chat completions on the chat backend: what the client sees of a turn, and the backend of a request.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from claudeproxy.core.chat import ChatRequest, Effort, Message, Role, TurnSettings
from claudeproxy.core.events import Finished, FinishReason, ReasoningDelta, Usage, UsageReport
from tests.memory.doubles import SESSION, MemoryProducer
from tests.memory.wire import KEY, House, Wire, chat_body


def events(body: bytes) -> list[Any]:
    """The data of a stream's events, decoded where they are JSON; comments are left out."""
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line.startswith(b"data: ")]
    return [line if line == b"[DONE]" else json.loads(line) for line in lines]


def begin(house: House, stream: bool, headers: dict[str, str] | None = None, **parameters: Any) -> Wire:
    """Send a chat request and have its turn granted."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=stream, **parameters), headers=headers)
    house.backend.turn.start()
    return wire


def test_a_whole_answer(house: House) -> None:
    """Without streaming the answer is one JSON body, sent when the turn is over."""
    wire = begin(house, stream=False, user="me")
    house.backend.turn.say("Hel", "lo")
    assert b"" == wire.sent
    house.backend.turn.end()

    answer = wire.answer()
    assert (200, "application/json", True) == (answer.status, answer.headers["content-type"], answer.complete)
    assert ("chat.completion", "sonnet") == (answer.json["object"], answer.json["model"])
    assert "Hello" == answer.json["choices"][0]["message"]["content"]
    assert 11 == answer.json["usage"]["total_tokens"]
    assert answer.json["id"].startswith("chatcmpl-")
    assert (SESSION, "true") == (
        answer.headers["x-claude-session-id"],
        answer.headers["x-claude-session-created"],
    )
    assert ("user", "claude-code") == (answer.headers["x-claude-ignored-params"], answer.headers["x-backend-mode"])
    assert "no-store" == answer.headers["cache-control"]


def test_a_streamed_answer(house: House) -> None:
    """A stream has its headers with the first event, then every event in a write of its own, and its end at once."""
    wire = begin(house, stream=True, stream_options={"include_usage": True}, seed=0, user="me")
    assert b"" == wire.sent
    turn = house.backend.turn
    turn.event(ReasoningDelta("hm"))
    turn.say("Hel")
    first = wire.sent
    turn.say("lo")
    chunk = wire.sent.removeprefix(first)
    size, _, rest = chunk.partition(b"\r\n")
    assert (int(size, 16) + 2, True) == (len(rest), rest.startswith(b"data: ") and rest.endswith(b"\n\n\r\n"))
    turn.end()

    answer = wire.answer()
    assert (200, True) == (answer.status, answer.complete)
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert ("no-cache", "no") == (answer.headers["cache-control"], answer.headers["x-accel-buffering"])
    assert SESSION == answer.headers["x-claude-session-id"]
    assert "seed, user" == answer.headers["x-claude-ignored-params"]
    *chunks, done = events(answer.body)
    assert b"[DONE]" == done
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "assistant" == deltas[0]["role"]
    assert "Hello" == "".join(delta.get("content", "") for delta in deltas)
    assert ("stop", 11) == (chunks[-2]["choices"][0]["finish_reason"], chunks[-1]["usage"]["total_tokens"])


def test_a_continued_session_is_not_called_new(house: House) -> None:
    """``X-Claude-Session-Created`` is there for new sessions only."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(), headers={"X-Claude-Session-ID": SESSION.upper()})
    house.backend.turn.start(created=False)
    house.backend.turn.end()

    answer = wire.answer()
    assert SESSION == house.backend.turn.request.session_id
    assert SESSION == answer.headers["x-claude-session-id"]
    assert not {"x-claude-session-created", "x-claude-ignored-params"} & set(answer.headers)


def test_what_the_backend_is_asked(house: House) -> None:
    """The backend gets the neutral model: the conversation, the settings, the model's real name, and whose it is."""
    body = {
        "model": "claude-sonnet-4",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Bye"},
        ],
        "max_tokens": 5,
        "reasoning_effort": "low",
        "seed": 1,
    }
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", json.dumps(body).encode())

    assert (
        ChatRequest(
            model="claude-sonnet-4",
            backend_model="sonnet",
            messages=(Message(Role.USER, "Hello"), Message(Role.ASSISTANT, "Hi"), Message(Role.USER, "Bye")),
            system="Be brief.",
            settings=TurnSettings(effort=Effort.LOW, max_tokens=5),
            tenant=sha256(KEY.encode()).hexdigest()[:16],
            ignored=("seed",),
        )
        == house.backend.turn.request
    )


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"X-Claude-Code": "maybe"}, 400, "invalid_header_value"),
        ({"X-Claude-Session-ID": "1"}, 400, "invalid_session_id"),
        ({"X-Session-ID": "1"}, 400, "invalid_session_id"),
    ],
)
def test_routing_headers_that_are_wrong(house: House, headers: dict[str, str], status: int, code: str) -> None:
    """A routing header that means nothing is the client's mistake."""
    answer = house.ask("POST", "/v1/chat/completions", chat_body(), headers=headers)

    assert (status, code) == (answer.status, answer.error["code"])


@pytest.mark.parametrize(
    ("headers", "model", "backend"),
    [
        ({}, "sonnet", "claude"),
        ({}, "gpt-4o", "upstream"),
        ({"X-Claude-Code": "TRUE"}, "gpt-4o", "claude"),
        ({"X-Claude-Session-ID": SESSION}, "gpt-4o", "claude"),
        ({"X-Session-ID": SESSION}, "gpt-4o", "claude"),
        ({"X-Claude-Code": "no"}, "sonnet", "upstream"),
        ({"X-Claude-Code": "0", "X-Claude-Session-ID": "whatever"}, "sonnet", "upstream"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "//v1//chat/completions/?a=b"])
def test_which_backend_serves(house: House, headers: dict[str, str], model: str, backend: str, path: str) -> None:
    """Headers come first, then the model's name; how the path is spelled makes no difference."""
    wire = house.connect()
    wire.send("POST", path, chat_body(model), headers=headers)

    assert (len(house.backend.turns), len(house.relay.exchanges)) == ((1, 0) if backend == "claude" else (0, 1))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves(house: House, stream: bool) -> None:
    """The turn of a client that leaves is cancelled at once, and nothing is written any more."""
    wire = begin(house, stream)
    house.backend.turn.say("Hel")
    before = wire.sent
    wire.leave()

    turn = house.backend.turn
    assert turn.cancelled
    assert (["stop"] if stream else []) == turn.producer.told
    turn.say("lo")
    assert before == wire.sent
    assert (200 if stream else 499, True) == (house.access["status"], house.access["client_left"])


def test_a_client_that_leaves_before_the_turn_is_granted(house: House) -> None:
    """Leaving while still waiting for a slot frees the place in the queue; a late grant does no harm."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    wire.leave()

    turn = house.backend.turn
    assert turn.cancelled
    turn.start()
    turn.say("too late")
    assert (["stop"], b"") == (turn.producer.told, wire.sent)


def test_a_slow_client(house: House) -> None:
    """A pause reaches the backend once, however often it is said, and so does the end of it."""
    wire = begin(house, stream=True)
    turn = house.backend.turn
    for _ in range(3):
        wire.channel.pauseProducing()
        turn.say("x")
    wire.channel.resumeProducing()
    wire.channel.resumeProducing()
    turn.end()
    wire.channel.pauseProducing()

    assert ["pause", "resume"] == turn.producer.told
    assert wire.answer().complete


def test_a_second_attempt_for_a_slow_client(house: House) -> None:
    """What one process was told of the client's pace is not the next one's: it is told anew, and silence is filled."""
    wire = begin(house, stream=True)
    turn = house.backend.turn
    turn.say("Hello")
    wire.channel.pauseProducing()
    turn.sink.flow_ended()
    wire.channel.resumeProducing()
    second = MemoryProducer()
    turn.sink.flow_from(second)
    house.clock.advance(16)
    assert b": keep-alive" in wire.sent
    wire.channel.pauseProducing()
    wire.channel.resumeProducing()
    turn.end()

    assert (["pause"], ["pause", "resume"]) == (turn.producer.told, second.told)
    assert wire.answer().complete


def test_silence(house: House) -> None:
    """A stream that is silent for its interval gets comments, the first with its head; events put them off."""
    wire = begin(house, stream=True)
    house.clock.advance(14.9)
    assert b"" == wire.sent
    house.clock.advance(0.2)
    assert wire.sent.endswith(b"\r\n: keep-alive\n\n\r\n")
    assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    house.clock.advance(10)
    house.backend.turn.say("Hello")
    house.clock.advance(14)
    assert 1 == wire.sent.count(b": keep-alive")
    house.clock.advance(1)
    assert 2 == wire.sent.count(b": keep-alive")
    house.backend.turn.end()

    answer = wire.answer()
    assert answer.body.startswith(b": keep-alive\n\ndata: {")
    assert (True, SESSION) == (answer.complete, answer.headers["x-claude-session-id"])
    assert [] == house.clock.getDelayedCalls()[1:]


def test_no_comments_for_a_client_that_does_not_read(house: House) -> None:
    """While the client is slow, nothing is added to what it has not read."""
    wire = begin(house, stream=True)
    house.backend.turn.say("Hello")
    wire.channel.pauseProducing()
    house.clock.advance(60)

    assert b"keep-alive" not in wire.sent
    wire.leave()


def test_no_head_before_the_turn_is_granted(house: House) -> None:
    """A request that waits for a slot stays silent, so that its failure can still have a status."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    house.clock.advance(60)

    assert b"" == wire.sent
    wire.leave()


def test_the_next_request_on_the_connection(house: House) -> None:
    """A connection is kept: after a stream comes the next answer, pipelined or not."""
    wire = begin(house, stream=True)
    wire.send("GET", "/v1/models")
    house.backend.turn.say("Hello")
    house.backend.turn.end()

    assert wire.answer().complete
    assert "list" == wire.answer().json["object"]
    assert not wire.closing


def test_http_1_0(house: House) -> None:
    """A client of HTTP/1.0 gets its stream unchunked, ended by the end of the connection."""
    wire = house.connect()
    body = chat_body(stream=True)
    wire.send_raw(
        b"POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (KEY.encode(), len(body), body)
    )
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    house.backend.turn.end()

    assert wire.closing
    assert wire.answer().body.endswith(b"data: [DONE]\n\n")


def test_what_the_access_log_says(house: House) -> None:
    """The log says who asked what, which backend and model answered, how much and how fast; never the key."""
    wire = begin(house, stream=True, headers={"X-Request-ID": "abc"})
    house.clock.advance(0.5)
    turn = house.backend.turn
    turn.say("Hello")
    house.clock.advance(1)
    turn.event(UsageReport(Usage(input_tokens=3, cache_read_tokens=4, output_tokens=2, cost_usd=0.01)))
    turn.event(Finished(FinishReason.STOP))
    turn.sink.flow_ended()
    turn.done.callback(None)

    size = len(wire.answer().body)
    assert {
        "request_id": "abc",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "bytes": size,
        "client": "192.168.1.1",
        "key": "API_KEYS#62af87",
        "backend": "claude-code",
        "model": "sonnet",
        "input_tokens": 7,
        "output_tokens": 2,
        "cost_usd": 0.01,
        "first_byte_ms": 500.0,
        "total_ms": 1500.0,
    } == house.access
    assert KEY not in repr(house.events)
