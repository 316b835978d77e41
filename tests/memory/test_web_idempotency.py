"""
``Idempotency-Key``: what a client sees of a request that it repeats.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import capturedLogs

from claudeproxy.config import ServerConfig
from claudeproxy.core.chat import ChatRequest
from claudeproxy.core.events import Usage
from claudeproxy.core.routing import BackendName, Fallback, ModelNames, Step
from claudeproxy.errors import BackendError, Overloaded
from tests.memory.doubles import EVENTS, JSON, SESSION
from tests.memory.wire import KEY, Answer, House, Wire, chat_body

OTHER_KEY = "other-key"
CHAT = "/v1/chat/completions"
STREAM = (b'data: {"id": 1}\n\n', b": a comment of the upstream's\n\n", b"data: [DONE]\n\n")


def ask(house: House, body: bytes | None = None, key: str = "k-1", path: str = CHAT, **options: Any) -> Wire:
    """Send a chat request with an ``Idempotency-Key``."""
    wire = house.connect()
    headers = {"Idempotency-Key": key, **options.pop("headers", {})}
    wire.send("POST", path, chat_body() if body is None else body, headers=headers, **options)
    return wire


def converse(house: House, stream: bool = False, **options: Any) -> Answer:
    """Send one to Claude Code, and return its answer."""
    wire = ask(house, chat_body(stream=stream, user="me"), **options)
    turn = house.backend.turn
    turn.start()
    turn.say("Hel", "lo")
    turn.end()
    return wire.answer()


def relay(house: House, status: int = 200, headers: Any = JSON, pieces: tuple[bytes, ...] = (b"{}",)) -> Answer:
    """Send one to the upstream, and return its answer."""
    wire = ask(house, chat_body("gpt-4o"))
    exchange = house.relay.exchange
    exchange.head(status, headers)
    exchange.send(*pieces)
    exchange.end(Usage(input_tokens=1, output_tokens=2))
    return wire.answer()


def told(answer: Answer) -> dict[str, str]:
    """The headers that tell of an answer, and not of its request or the way in which it came."""
    own = {"date", "x-request-id", "content-length", "transfer-encoding", "idempotent-replayed"}
    return {name: value for name, value in answer.headers.items() if name not in own and "ratelimit" not in name}


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeat_on_claude_code(house: House, stream: bool) -> None:
    """The repeat gets the same status, headers and bytes, says that it is one, and starts no turn."""
    first = converse(house, stream)
    again = ask(house, chat_body(stream=stream, user="me")).answer()

    assert (200, first.body, True) == (again.status, again.body, again.complete)
    assert told(first) == told(again)
    assert (SESSION, "true", "user") == tuple(
        again.headers[f"x-claude-{name}"] for name in ("session-id", "session-created", "ignored-params")
    )
    assert ("true", None) == (again.headers["idempotent-replayed"], first.headers.get("idempotent-replayed"))
    assert ("chunked" if stream else None) == again.headers.get("transfer-encoding")
    assert 1 == len(house.backend.turns)


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ([*EVENTS, (b"X-Custom", b"1"), (b"X-Upstream-Request-ID", b"u")], STREAM),
        ([*JSON, (b"Content-Length", b"9"), (b"X-Custom", b"1")], (b'{"id"', b": 1}")),
        ([*JSON, (b"X-Custom", b"1")], (b'{"id": 1}',)),
    ],
)
def test_a_repeat_on_the_upstream(house: House, headers: Any, pieces: tuple[bytes, ...]) -> None:
    """The same goes for an upstream's answer: its bytes, its own headers, and who it was."""
    first = relay(house, headers=headers, pieces=pieces)
    again = ask(house, chat_body("gpt-4o")).answer()

    assert (200, b"".join(pieces), True) == (again.status, again.body, again.complete)
    assert told(first) == told(again)
    assert ("1", "openai-passthrough", "1", "true") == tuple(
        again.headers[name] for name in ("x-custom", "x-backend-mode", "x-backend-attempts", "idempotent-replayed")
    )
    assert len(set(again.headers)) == len(again.names)
    assert 1 == len(house.relay.exchanges)


def test_what_is_the_new_requests_own(house: House) -> None:
    """The request's id and the limits are those of the repeat, which counts as a request."""
    limits = [(b"x-ratelimit-remaining-requests", b"4711"), (b"X-RateLimit-Remaining-Tokens", b"4712")]
    first = relay(house, headers=[*JSON, *limits])
    again = ask(house, chat_body("gpt-4o"), headers={"X-Request-ID": "mine"}).answer()

    assert ("4711", "4712") == tuple(first.headers[f"x-ratelimit-remaining-{name}"] for name in ("requests", "tokens"))
    assert ("mine", "58", "58") == tuple(
        again.headers[name] for name in ("x-request-id", "x-ratelimit-remaining", "x-ratelimit-remaining-requests")
    )
    assert "x-ratelimit-remaining-tokens" not in again.headers


def test_what_the_access_log_says(house: House) -> None:
    """A repeat is told from a request that was done, and its tokens are not counted again."""
    relay(house)
    assert "replayed" not in house.access and 1 == house.access["input_tokens"]
    ask(house, chat_body("gpt-4o")).answer()

    assert (True, "gpt-4o", "openai-passthrough", 200) == tuple(
        house.access[name] for name in ("replayed", "model", "backend", "status")
    )
    assert not {"input_tokens", "output_tokens", "cost_usd"} & set(house.access)


def test_comments_that_kept_the_first_alive(house: House) -> None:
    """What kept the first answer alive while it was silent is no part of it; what the upstream sent is."""
    wire = ask(house, chat_body("gpt-4o"))
    exchange = house.relay.exchange
    exchange.head(200, EVENTS)
    exchange.send(STREAM[0])
    house.clock.advance(16)
    exchange.send(*STREAM[1:])
    exchange.end()
    assert b": keep-alive\n\n" in wire.answer().body

    assert b"".join(STREAM) == ask(house, chat_body("gpt-4o")).answer().body


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeat_while_the_first_runs(house: House, stream: bool) -> None:
    """It is refused for now, with a time after which the clients try again by themselves; the first goes on."""
    wire = ask(house, chat_body(stream=stream))
    turn = house.backend.turn
    turn.start()
    turn.say("Hel")
    refused = ask(house, chat_body(stream=stream)).answer()

    assert (409, "idempotency_key_in_use", "1") == (
        refused.status,
        refused.error["code"],
        refused.headers["retry-after"],
    )
    assert not {"x-should-retry", "x-backend-mode"} & set(refused.headers)
    turn.end()
    assert wire.answer().body == ask(house, chat_body(stream=stream)).answer().body
    assert 1 == len(house.backend.turns)


@pytest.mark.parametrize(
    ("body", "path", "headers"),
    [
        (chat_body("haiku"), CHAT, {}),
        (chat_body(), CHAT + "?a=b", {}),
        (chat_body(), CHAT, {"X-Claude-Code": "true"}),
        (chat_body(), CHAT, {"X-Session-ID": SESSION}),
        (chat_body(), CHAT, {"X-OpenAI-API-Key": "sk-mine"}),
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_the_key_of_another_request(
    house: House, running: bool, body: bytes, path: str, headers: dict[str, str]
) -> None:
    """A key that belongs to a request with another body, or other headers that steer, is refused for good."""
    first = ask(house)
    house.backend.turn.start()
    if not running:
        house.backend.turn.end()
    answer = ask(house, body, path=path, headers=headers).answer()

    assert (400, "idempotency_key_reused", "Idempotency-Key") == (
        answer.status,
        answer.error["code"],
        answer.error["param"],
    )
    assert (1, 0) == (len(house.backend.turns), len(house.relay.exchanges))
    first.leave()


@pytest.mark.parametrize("path", ["/chat/completions", "//v1//chat/completions/"])
def test_how_the_path_is_spelled(house: House, path: str) -> None:
    """The same route under another spelling is the same route."""
    first = converse(house)

    assert first.body == ask(house, chat_body(stream=False, user="me"), path=path).answer().body


def test_another_tenants_key() -> None:
    """Keys of different API keys have nothing to do with each other, also while they run."""
    house = House(keys=(KEY, OTHER_KEY))
    mine, theirs = ask(house), ask(house, chat_body("haiku"), headers={"Authorization": f"Bearer {OTHER_KEY}"})
    for turn, text in zip(house.backend.turns, ("mine", "theirs"), strict=True):
        turn.start()
        turn.say(text)
        turn.end()

    assert b"mine" in mine.answer().body and b"theirs" in theirs.answer().body
    assert b"mine" in ask(house).answer().body
    again = ask(house, chat_body("haiku"), headers={"Authorization": f"Bearer {OTHER_KEY}"}).answer()
    assert b"theirs" in again.body and "true" == again.headers["idempotent-replayed"]


@pytest.mark.parametrize("key", ["x" * 256, "é", '"a\tb"'])
def test_what_is_no_key(house: House, key: str) -> None:
    """A header that is no key is the client's mistake, and no backend hears of the request."""
    wire = house.connect()
    body = chat_body()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n"
    wire.send_raw(f"{head}Idempotency-Key: {key}\r\n\r\n".encode() + body)
    answer = wire.answer()

    assert (400, "invalid_header_value", "Idempotency-Key") == (
        answer.status,
        answer.error["code"],
        answer.error["param"],
    )
    assert [] == house.backend.turns


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("error", [Overloaded("Too much."), BackendError("It broke.")])
def test_an_error_is_not_kept(house: House, stream: bool, begun: bool, error: Exception) -> None:
    """After a failure, before or within the answer, the key is free, and the repeat is done anew."""
    wire = ask(house, chat_body(stream=stream))
    turn = house.backend.turn
    turn.start()
    if begun:
        turn.say("Hel")
    turn.fail(error)
    assert 200 != wire.answer().status or stream
    second = ask(house, chat_body(stream=stream))
    house.backend.turn.start()
    house.backend.turn.say("whole")
    house.backend.turn.end()

    answer = second.answer()
    assert (2, True, None) == (
        len(house.backend.turns),
        b"whole" in answer.body,
        answer.headers.get("idempotent-replayed"),
    )
    wire.leave()


@pytest.mark.parametrize(
    ("status", "headers", "pieces"),
    [
        (400, JSON, (b'{"error": {}}',)),
        (401, JSON, (b"{}",)),
        (404, JSON, (b"{}",)),
        (409, JSON, (b"{}",)),
        (429, JSON, (b"{}",)),
        (500, JSON, (b"{}",)),
        (302, JSON, (b"{}",)),
        (200, JSON, (b'{"error": {"message": "It broke."}}',)),
        (200, EVENTS, STREAM[:1]),
        (200, EVENTS, (b'data: {"error": {"message": "It broke."}}\n\n', STREAM[2])),
    ],
)
def test_an_upstreams_error_is_not_kept(house: House, status: int, headers: Any, pieces: tuple[bytes, ...]) -> None:
    """An upstream's error is passed on and not kept, also one with a status of success; a request may be mended too."""
    assert (status, b"".join(pieces)) == (relay(house, status, headers, pieces).status, b"".join(pieces))
    wire = ask(house, chat_body("gpt-4o", user="another"))
    assert 2 == len(house.relay.exchanges)
    wire.leave()


@pytest.mark.parametrize("body", [b"{", b'{"model": "sonnet"}', chat_body(n=2)])
def test_a_request_that_is_refused_here(house: House, body: bytes) -> None:
    """What was wrong with a request can be mended under the same key."""
    assert ask(house, body).answer().status == 400
    assert 200 == converse(house).status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves(house: House, stream: bool, begun: bool) -> None:
    """The turn of a client that leaves is stopped, and its key is free for the client that comes back."""
    wire = ask(house, chat_body(stream=stream, user="me"))
    turn = house.backend.turn
    if begun:
        turn.start()
        turn.say("Hel")
    wire.leave()
    assert turn.cancelled
    turn.say("late")

    answer = converse(house, stream)
    assert (2, None) == (len(house.backend.turns), answer.headers.get("idempotent-replayed"))
    assert b"late" not in answer.body
    assert answer.body == ask(house, chat_body(stream=stream, user="me")).answer().body


def test_the_answer_of_a_chain() -> None:
    """What is kept is what the client got: the answer of the backend that served in the end."""
    steps = (Step(BackendName.UPSTREAM, "openai"), Step(BackendName.CLAUDE, model="sonnet"))
    house = House(fallbacks=(Fallback(ModelNames(("gpt-4o",)), steps),))
    wire = ask(house, chat_body("gpt-4o"))
    house.relay.exchange.refuse(503)
    turn = house.backend.turn
    turn.start()
    turn.say("Hello")
    turn.end()
    first, again = wire.answer(), ask(house, chat_body("gpt-4o")).answer()

    assert (first.body, told(first)) == (again.body, told(again))
    assert ("claude-code", "2") == (again.headers["x-backend-mode"], again.headers["x-backend-attempts"])


def test_an_answer_expires(house: House) -> None:
    """After a day the request is done anew."""
    converse(house)
    house.clock.advance(86_399)
    assert "true" == ask(house, chat_body(user="me")).answer().headers["idempotent-replayed"]
    house.clock.advance(1)

    assert "idempotent-replayed" not in converse(house).headers
    assert 2 == len(house.backend.turns)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("room", [1, 8 * 300, 8 * 1200])
def test_an_answer_that_is_too_large(room: int, stream: bool) -> None:
    """It is sent as ever and not kept, which the operator can read: the repeat is done anew."""
    house = House(server=ServerConfig(idempotency_max_bytes=room))
    with capturedLogs() as events:
        first = converse(house, stream)
    again = converse(house, stream)

    assert (2, True, True) == (len(house.backend.turns), first.complete, again.complete)
    assert b"Hel" in first.body and first.body != again.body
    (told,) = [event for event in events if "IDEMPOTENCY_MAX_BYTES" in (event["log_format"] or "")]
    assert told["request_id"] == first.headers["x-request-id"]


def test_without_memory_the_header_is_ignored() -> None:
    """With IDEMPOTENCY_MAX_BYTES=0 nothing is kept, nothing refused, and no value is wrong."""
    house = House(server=ServerConfig(idempotency_max_bytes=0))
    wires = [ask(house, key=key) for key in ("k", "k", "x" * 300)]

    assert 3 == len(house.backend.turns)
    for wire in wires:
        wire.leave()


def test_requests_without_a_key(house: House) -> None:
    """Without the header equal requests are different ones, and nothing of them is kept."""
    for _ in range(2):
        wire = house.connect()
        wire.send("POST", CHAT, chat_body())
        house.backend.turn.start()
        house.backend.turn.end()
        assert 200 == wire.answer().status

    assert 2 == len(house.backend.turns)


def test_the_backend_knows_nothing_of_it(house: House) -> None:
    """A request with a key is asked as one without; an upstream gets the key as it came."""
    wire = ask(house)
    plain = house.connect()
    plain.send("POST", CHAT, chat_body())
    asked: list[ChatRequest] = [turn.request for turn in house.backend.turns]
    relayed = ask(house, chat_body("gpt-4o"), key="k-2")

    assert asked[0] == asked[1]
    assert (b"Idempotency-Key", b"k-2") in house.relay.exchange.request.headers
    for each in (wire, plain, relayed):
        each.leave()


def test_other_routes(house: House) -> None:
    """A request to another path is the upstream's business, and so is its key."""
    wires = [ask(house, b"{}", path="/v1/embeddings") for _ in range(2)]

    assert 2 == len(house.relay.exchanges)
    for wire in wires:
        wire.leave()
