"""
Where fallback chains end, through the whole web side: nobody is left, the client leaves, the time is over.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import ensureDeferred

from claudeproxy.config import UpstreamConfig
from claudeproxy.errors import BackendUnavailable, ClaudeProxyError, Overloaded, UpstreamTimeout, UpstreamUnreachable
from tests.memory.chains import DEEPSEEK, LOCAL, OPENAI, SONNET, Make, begun, send, told
from tests.memory.doubles import SESSION
from tests.memory.wire import House, chat_body


def refuse(status: int) -> Callable[[House, str], None]:
    return lambda house, name: house.relays[name].exchange.refuse(status, b"%d" % status)


def fail(error: ClaudeProxyError) -> Callable[[House, str], None]:
    return lambda house, name: house.relays[name].exchange.fail(error)


def never_ask(house: House, name: str) -> None:
    """
    The breaker is open: the relay fails without a try.
    """
    exchange = house.relays[name].exchange
    exchange.sink._request.attempts -= 1  # type: ignore[attr-defined]  # this double has told of a try already
    exchange.fail(BackendUnavailable("open", retry_after=7))


@pytest.mark.parametrize(
    ("first", "second", "status", "code", "upstream", "attempts"),
    [
        (refuse(429), fail(UpstreamUnreachable("no")), 502, "connection_error", "local", "2"),
        (refuse(429), never_ask, 429, None, "deepseek", "1"),
        (fail(UpstreamUnreachable("no")), never_ask, 502, "connection_error", "deepseek", "1"),
        (never_ask, fail(UpstreamUnreachable("no")), 502, "connection_error", "local", "1"),
        (never_ask, never_ask, 503, "backend_unavailable", "local", None),
    ],
)
def test_nobody_is_left(
    chain: Make,
    first: Callable[[House, str], None],
    second: Callable[[House, str], None],
    status: int,
    code: str | None,
    upstream: str,
    attempts: str | None,
) -> None:
    """The client gets the last answer or error of an upstream that was asked, and only otherwise that none was."""
    house = chain(DEEPSEEK, LOCAL)
    wire = send(house)
    first(house, "deepseek")
    second(house, "local")

    answer = wire.answer()
    assert (status, ("openai-passthrough", upstream, attempts)) == (answer.status, told(answer))
    if code is None:
        assert b"%d" % status == answer.body
    else:
        assert code == answer.error["code"]
    if status == 503:
        assert "7" == answer.headers["retry-after"]
    wire.leave()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Claude-Code": "true"},
        {"X-Claude-Code": "false"},
        {"X-Claude-Session-ID": SESSION},
        {"X-OpenAI-API-Key": "sk-own"},
    ],
    ids=str,
)
def test_headers_know_no_fallback(chain: Make, headers: dict[str, str]) -> None:
    """What the client chose by a header is asked alone: a session and a key of its own go nowhere else."""
    house = chain(OPENAI, SONNET, DEEPSEEK)
    wire = send(house, chat_body("gpt-5"), headers=headers)
    if house.backend.turns:
        begun(house).fail(Overloaded("529"))
    elif house.relay.exchanges:
        exchange = house.relay.exchange
        assert (headers.get("X-OpenAI-API-Key"), False) == (exchange.request.client_key, exchange.request.hands_over)
        exchange.fail(UpstreamUnreachable("no"))

    assert wire.answer().status >= 400
    assert 1 >= len(house.backend.turns) + len(house.relay.exchanges)
    assert [] == house.relays["deepseek"].exchanges
    wire.leave()


def test_a_table_gets_no_key_of_a_client(chain: Make) -> None:
    """A client's key is openai's: where openai takes none, the request goes its way without it."""
    house = chain(upstream=UpstreamConfig(enabled=False))
    wire = send(house, chat_body("deepseek-chat"), headers={"X-OpenAI-API-Key": "sk-own"})

    assert None is house.relays["deepseek"].exchange.request.client_key
    wire.leave()


@pytest.mark.parametrize("step", [0, 1])
def test_a_client_that_leaves(chain: Make, step: int) -> None:
    """Who is being asked when the client leaves is stopped, and nobody else is asked."""
    house = chain(OPENAI, SONNET, LOCAL)
    wire = send(house)
    if step:
        house.relay.exchange.refuse(500)
    wire.leave()

    assert house.backend.turn.cancelled if step else house.relay.exchange.cancelled
    assert ([], step) == (house.relays["local"].exchanges, len(house.backend.turns))
    assert house.access["client_left"]


def test_the_time_of_a_request_is_for_all(chain: Make) -> None:
    """REQUEST_TIMEOUT_MS bounds the steps together: when it is over, the one that is being asked is stopped."""
    house = chain(OPENAI, LOCAL, DEEPSEEK)
    wire = send(house)
    house.clock.advance(200)
    house.relay.exchange.refuse(500)
    house.clock.advance(99)
    assert b"" == wire.sent
    house.clock.advance(1)

    answer = wire.answer()
    assert (504, "timeout", True) == (answer.status, answer.error["code"], house.relays["local"].exchange.cancelled)
    assert [] == house.relays["deepseek"].exchanges
    wire.leave()


def test_no_step_begins_when_the_time_is_over(chain: Make) -> None:
    """A step that used up all the time hands over to nobody."""
    house = chain(OPENAI, LOCAL)
    wire = send(house)
    exchange = house.relay.exchange
    house.clock.callLater(300, exchange.fail, UpstreamTimeout("all of it"))
    house.clock.calls.sort(key=lambda call: call.func != exchange.fail)
    house.clock.advance(300)

    assert ("timeout", []) == (wire.answer().error["code"], house.relays["local"].exchanges)
    wire.leave()


def test_the_stop_of_the_daemon(chain: Make) -> None:
    """A step that is cut short by the daemon's stop hands over to nobody."""
    house = chain(OPENAI, LOCAL)
    wire = send(house)
    stopped = ensureDeferred(house.drain.stop(1))
    house.clock.advance(1)

    answer = wire.answer()
    assert (503, "server_shutting_down", []) == (
        answer.status,
        answer.error["code"],
        house.relays["local"].exchanges,
    )
    wire.close()
    house.clock.advance(5)
    assert stopped.called
