"""
Fallback chains, through the whole web side: what is handed over, and to whom.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudeproxy.config import ServerConfig
from claudeproxy.core.routing import BackendName, Step
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendError,
    BackendUnavailable,
    CapacityExceeded,
    ClaudeProxyError,
    ContextLengthExceeded,
    InvalidValue,
    Overloaded,
    RateLimited,
    ServerShuttingDown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.memory.chains import BUSY, CLAUDE, DEEPSEEK, LOCAL, ODD, OK, OPENAI, SONNET, Make, begun, send, serve, told
from tests.memory.doubles import EVENTS, JSON, SESSION
from tests.memory.wire import chat_body


def test_one_upstream_hands_over_to_the_next(chain: Make) -> None:
    """An answer that another may do better than is not sent; the next gets the same bytes but for the model."""
    house = chain(OPENAI, DEEPSEEK)
    wire = send(house)
    first = house.relay.exchange
    assert (ODD, True) == (first.body, first.request.hands_over)
    first.refuse(429, BUSY)
    assert b"" == wire.sent

    second = house.relays["deepseek"].exchange
    assert ODD.replace(b"gpt-5", b"deepseek-chat") == second.body
    assert (False, True) == (second.request.hands_over, second.request.tee_usage)
    serve(second)
    answer = wire.answer()
    assert (200, OK) == (answer.status, answer.body)
    assert ("openai-passthrough", "deepseek", "2") == told(answer)
    wire.leave()
    assert ("deepseek", 2, 2) == tuple(house.access[name] for name in ("upstream", "attempts", "output_tokens"))


@pytest.mark.parametrize(
    "error",
    [
        UpstreamUnreachable("no"),
        UpstreamTimeout("slow"),
        BackendUnavailable("open"),
        RateLimited("so many"),
        BackendAuthFailed("key"),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_hands_over(chain: Make, error: ClaudeProxyError, stream: bool) -> None:
    """An upstream that cannot be reached, or takes too long, hands over as one that refuses does."""
    house = chain(DEEPSEEK, LOCAL)
    wire = send(house, chat_body("gpt-5", stream=stream))
    house.relays["deepseek"].exchange.fail(error)
    serve(house.relays["local"].exchange)

    assert ("openai-passthrough", "local", "2") == told(wire.answer())
    wire.leave()


def test_an_answer_that_breaks_off_before_its_first_byte(chain: Make) -> None:
    """The head of an answer in one piece is not sent before its body, so another answer can take its place."""
    house = chain(OPENAI, LOCAL)
    wire = send(house)
    first = house.relay.exchange
    first.head(200, (*JSON, (b"Content-Length", b"99"), (b"X-Only", b"first")))
    first.fail(UpstreamUnreachable("broke off"))
    serve(house.relays["local"].exchange)

    answer = wire.answer()
    assert (OK, True) == (answer.body, answer.complete)
    assert "x-only" not in answer.headers
    wire.leave()


def test_nothing_is_handed_over_after_the_first_byte(chain: Make) -> None:
    """A stream whose head has been sent, and an answer of which a byte has, end as they do without a chain."""
    for stream in (True, False):
        house = chain(OPENAI, LOCAL)
        wire = send(house)
        house.relay.exchange.head(200, EVENTS if stream else JSON)
        if not stream:
            house.relay.exchange.send(b"{")
        house.relay.exchange.fail(UpstreamUnreachable("broke off"))

        assert [] == house.relays["local"].exchanges
        answer = wire.answer()
        assert (stream, stream) == (answer.complete, b'"error"' in answer.body)
        wire.leave()


@pytest.mark.parametrize("error", [CapacityExceeded("full"), Overloaded("529"), BackendError("half-way")])
def test_claude_code_hands_over_half_way(chain: Make, error: ClaudeProxyError) -> None:
    """An answer that is collected can fail at any point; nothing of it is left on the upstream's, no header either."""
    house = chain(SONNET, OPENAI)
    body = chat_body("gpt-5", user="me")
    wire = send(house, body)
    turn = begun(house)
    assert ("sonnet", "gpt-5") == (turn.request.backend_model, turn.request.model)
    turn.say("Half an ans")
    turn.fail(error)
    assert b"" == wire.sent
    assert body == house.relay.exchange.body
    serve(house.relay.exchange)

    answer = wire.answer()
    assert ("openai-passthrough", "openai", "2") == told(answer)
    assert not [name for name in answer.headers if name.startswith("x-claude")]
    assert OK == answer.body
    wire.leave()


def test_a_stream_of_claude_code_that_has_not_begun(chain: Make) -> None:
    """A stream hands over while nothing has been sent; the silence before counts for nobody afterwards."""
    house = chain(SONNET, OPENAI)
    wire = send(house, chat_body("gpt-5", stream=True))
    begun(house)
    house.clock.advance(14)
    house.backend.turn.fail(Overloaded("529"))
    exchange = house.relay.exchange
    house.clock.advance(14)
    assert b"" == wire.sent
    exchange.head(200, EVENTS)
    exchange.send(b"data: [DONE]\n\n")
    exchange.end()

    answer = wire.answer()
    assert (b"data: [DONE]\n\n", True) == (answer.body, answer.complete)
    assert (None, "2") == (answer.headers.get("x-claude-session-id"), answer.headers["x-backend-attempts"])
    wire.leave()


@pytest.mark.parametrize("first", ["comment", "word"])
def test_a_stream_of_claude_code_that_has_begun(chain: Make, first: str) -> None:
    """After a word, or a comment that keeps the stream alive, it is too late: the stream says what went wrong."""
    house = chain(SONNET, OPENAI)
    wire = send(house, chat_body("gpt-5", stream=True))
    turn = begun(house)
    if first == "word":
        turn.say("Hel")
    else:
        house.clock.advance(15)
    turn.fail(Overloaded("529"))

    answer = wire.answer()
    assert [] == house.relay.exchanges
    assert answer.complete and b'"code":"overloaded"' in answer.body
    assert ("claude-code", None, "1") == told(answer)
    wire.leave()


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_hands_over_to_claude_code(chain: Make, stream: bool) -> None:
    """Claude Code gets the decoded request and a model of its own; the answer echoes the name that was asked for."""
    house = chain(OPENAI, Step(BackendName.CLAUDE, model="claude-opus-4-1"))
    wire = send(house, chat_body("gpt-5", stream=stream, user="me"))
    house.relay.exchange.refuse(503)
    turn = begun(house)
    assert "claude-opus-4-1" == turn.request.backend_model
    turn.say("Hi")
    turn.end()

    answer = wire.answer()
    assert (200, SESSION, "user") == (
        answer.status,
        answer.headers["x-claude-session-id"],
        answer.headers["x-claude-ignored-params"],
    )
    assert ("claude-code", None, "2") == told(answer)
    assert b'"model":"gpt-5"' in answer.body
    wire.leave()
    assert ("claude-code", 2, False) == (house.access["backend"], house.access["attempts"], "upstream" in house.access)


@pytest.mark.parametrize("more", [{"tools": [{"type": "function"}]}, {"temperature": 9}, {"n": 2}])
def test_what_claude_code_cannot_serve(chain: Make, more: dict[str, Any]) -> None:
    """When the CLI cannot serve the request, the answer of the step before goes out as it came."""
    house = chain(OPENAI, SONNET)
    wire = send(house, chat_body("gpt-5", **more))
    house.relay.exchange.refuse(429, BUSY, (*JSON, (b"Retry-After", b"7"), (b"X-Odd", b"a")))

    answer = wire.answer()
    assert (429, BUSY, "7", "a") == (
        answer.status,
        answer.body,
        answer.headers["retry-after"],
        answer.headers["x-odd"],
    )
    assert ("openai-passthrough", "openai", "1") == told(answer)
    assert ([], len(set(answer.headers))) == (house.backend.turns, len(answer.names))
    wire.leave()


def test_claude_code_is_passed_by(chain: Make) -> None:
    """A request that the CLI can never serve goes on to who can; a wrong one is refused at once."""
    house = chain(SONNET, LOCAL)
    wire = send(house, chat_body("gpt-5", n=2))
    serve(house.relays["local"].exchange)
    assert ("openai-passthrough", "local", "1") == told(wire.answer())
    wire.leave()

    answer = house.ask("POST", "/v1/chat/completions", chat_body("gpt-5", temperature=9))
    assert (400, "invalid_value", None) == (
        answer.status,
        answer.error["code"],
        answer.headers.get("x-backend-attempts"),
    )
    assert 1 == len(house.relays["local"].exchanges)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 8_000_000}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
    ],
    ids=["a large picture", "another kind of file"],
)
def test_what_only_claude_code_does_not_take(chain: Make, part: dict[str, Any]) -> None:
    """Its limits are its own: another backend may have others."""
    house = chain(SONNET, LOCAL, server=ServerConfig(max_body_bytes=10_000_000))
    wire = send(house, chat_body("gpt-5", messages=[{"role": "user", "content": [part]}]))
    serve(house.relays["local"].exchange)
    assert ("openai-passthrough", "local", "1") == told(wire.answer())
    wire.leave()


def test_a_model_that_claude_code_does_not_know(chain: Make) -> None:
    """A step without a model asks for the request's; who does not know it is passed by."""
    house = chain(CLAUDE, LOCAL)
    wire = send(house)
    assert ([], ODD) == (house.backend.turns, house.relays["local"].exchange.body)
    wire.leave()


@pytest.mark.parametrize("error", [ContextLengthExceeded("long"), InvalidValue("wrong")])
def test_the_requests_own_fault(chain: Make, error: ClaudeProxyError) -> None:
    """What is wrong with the request itself is not handed over."""
    house = chain(SONNET, OPENAI)
    wire = send(house)
    begun(house).fail(error)

    answer = wire.answer()
    assert (error.code, []) == (answer.error["code"], house.relay.exchanges)
    assert ("claude-code", None, "1") == told(answer)
    wire.leave()


def test_a_chat_that_is_stored(chain: Make) -> None:
    """Who relays a chat is told whether the upstream is to store it."""
    house = chain()
    for store in (True, False):
        wire = send(house, chat_body("gpt-4o", store=store))
        assert store is house.relay.exchange.request.creates
        wire.leave()


@pytest.mark.parametrize("stream", [False, True])
def test_the_requests_own_fault_after_a_refusal(chain: Make, stream: bool) -> None:
    """The refusal goes out as it came; of the session that failed nothing is left, neither a header nor a timer."""
    house = chain(OPENAI, SONNET)
    wire = send(house, chat_body("gpt-5", stream=stream))
    house.relay.exchange.refuse(503, BUSY)
    begun(house).fail(ContextLengthExceeded("long"))

    answer = wire.answer()
    assert (503, BUSY, True) == (answer.status, answer.body, answer.complete)
    assert ("openai-passthrough", "openai", "2") == told(answer)
    assert not [name for name in answer.headers if name.startswith("x-claude")]
    sent = wire.sent
    house.clock.advance(15)
    assert sent == wire.sent
    wire.leave()


@pytest.mark.parametrize("steps", [(OPENAI, SONNET), (OPENAI, SONNET, LOCAL)], ids=len)
def test_the_daemon_stops_within_a_chain(chain: Make, steps: tuple[Step, ...]) -> None:
    """A client whose request was stopped hears that, and not what an upstream said before; nobody else is asked."""
    house = chain(*steps)
    wire = send(house, chat_body("gpt-5", stream=True))
    house.relay.exchange.refuse(429, BUSY)
    begun(house).fail(ServerShuttingDown("stops", retry_after=5))

    answer = wire.answer()
    assert (503, "server_shutting_down", "5") == (answer.status, answer.error["code"], answer.headers["retry-after"])
    assert ([], "claude-code") == (house.relays["local"].exchanges, answer.headers["x-backend-mode"])
    assert not [name for name in answer.headers if name.startswith("x-claude")]
    wire.leave()
