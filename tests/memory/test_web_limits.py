"""
The limits as a client meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from claudeproxy.config import LimitsConfig, ServerConfig
from claudeproxy.errors import BackendError, UpstreamUnreachable
from tests.guard import LoggedFailures
from tests.memory.doubles import EVENTS, JSON, SESSION
from tests.memory.wire import KEY, House, Wire, chat_body

OURS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
OPENAIS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


def limited(keys: tuple[str, ...] = (KEY,), server: ServerConfig | None = None, **limits: Any) -> House:
    """The web side with these limits, and no others."""
    unlimited = {"rate_limit_per_ip": 0, "rate_limit_per_session": 0, "max_concurrent_per_key": 0}
    return House(
        keys=keys, server=server or ServerConfig(max_body_bytes=1000), limits=LimitsConfig(**{**unlimited, **limits})
    )


def chat(house: House, model: str = "sonnet", stream: bool = False) -> Wire:
    """A chat request that has arrived."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(model, stream=stream))
    return wire


# -- Every place comes back ---------------------------------------------------


def answered(house: House, wire: Wire) -> None:
    house.backend.turn.start()
    house.backend.turn.end()


def failed(house: House, wire: Wire) -> None:
    house.backend.turn.fail(BackendError("no"))


def crashed(house: House, wire: Wire) -> None:
    house.backend.turn.fail(ZeroDivisionError())


def left(house: House, wire: Wire) -> None:
    wire.leave()
    assert house.backend.turn.cancelled


def left_within_the_answer(house: House, wire: Wire) -> None:
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    wire.leave()


def broke_within_the_answer(house: House, wire: Wire) -> None:
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    house.backend.turn.fail(BackendError("no"))


def heard_nothing_of_the_end(house: House, wire: Wire) -> None:
    house.backend.turn.start()
    house.backend.turn.say("Hello")
    wire.transport.producer.pauseProducing()
    house.backend.turn.fail(BackendError("no"))
    house.clock.advance(10)
    wire.close()


def stopped(house: House, wire: Wire) -> None:
    from twisted.internet.defer import ensureDeferred

    ensureDeferred(house.drain.stop(5))
    house.clock.advance(5)
    if wire.closing:
        wire.close()


def relayed(house: House, wire: Wire) -> None:
    house.relay.exchange.head()
    house.relay.exchange.send(b"{}")
    house.relay.exchange.end()


def unreachable(house: House, wire: Wire) -> None:
    house.relay.exchange.fail(UpstreamUnreachable("no"))


def broke_off(house: House, wire: Wire) -> None:
    house.relay.exchange.head(200, EVENTS)
    house.relay.exchange.send(b"data: 1\n\n")
    house.relay.exchange.fail(UpstreamUnreachable("no"))


def left_the_relay(house: House, wire: Wire) -> None:
    house.relay.exchange.head(200, EVENTS)
    house.relay.exchange.send(b"data: 1\n\n")
    wire.leave()
    assert house.relay.exchange.cancelled


END_OF_A_TURN = [answered, failed, crashed, left, stopped]
END_OF_A_STREAM = [left_within_the_answer, broke_within_the_answer, heard_nothing_of_the_end]
END_OF_AN_EXCHANGE = [relayed, unreachable, broke_off, left_the_relay, stopped]


def ways() -> Iterator[tuple[str, bool, Callable[[House, Wire], None]]]:
    for stream in (False, True):
        yield from (("sonnet", stream, end) for end in END_OF_A_TURN)
        yield from (("gpt-4o", stream, end) for end in END_OF_AN_EXCHANGE)
    yield from (("sonnet", True, end) for end in END_OF_A_STREAM)


@pytest.mark.parametrize(("model", "stream", "end"), list(ways()))
def test_a_place_comes_back(
    model: str, stream: bool, end: Callable[[House, Wire], None], logged_failures: LoggedFailures
) -> None:
    """However a request ends, its key has its place again, once; while it runs, the place is taken."""
    house = limited(max_concurrent_per_key=2)
    chat(house)
    other = house.admission.running
    wire = chat(house, model, stream)
    assert 2 == sum(other.values())
    refused = house.ask("GET", "/v1/models")
    assert (429, "concurrency_limit_exceeded") == (refused.status, refused.error["code"])
    assert ("rate_limit_error", "1") == (refused.error["type"], refused.headers["retry-after"])
    if end is stopped:
        house.backend.turns[0].start()
        house.backend.turns[0].end()
    end(house, wire)

    assert (0 if end is stopped else 1) == sum(house.admission.running.values())
    logged_failures.flush(ZeroDivisionError)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", None, 200),
        ("HEAD", "/v1/models", None, 200),
        ("GET", "/v1/models/none", None, 404),
        ("DELETE", "/health", None, 405),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"x" * 2000, 413),
        ("GET", "/nowhere", None, 404),
        ("OPTIONS", "/v1/models", None, 204),
        ("GET", "/health", None, 200),
    ],
)
def test_answers_that_ask_no_backend(method: str, path: str, body: bytes | None, status: int) -> None:
    """Nothing that is answered at once keeps a place."""
    house = limited(max_concurrent_per_key=1)

    for _ in range(3):
        assert status == house.ask(method, path, body).status
    assert {} == house.admission.running


def test_who_had_no_place_gives_none_back() -> None:
    """Requests that were refused, in whatever way, free nobody else's place."""
    house = limited(max_concurrent_per_key=1)
    wire = chat(house)
    assert 401 == house.ask("GET", "/v1/models", key="wrong").status
    assert 413 == house.ask("POST", "/v1/chat/completions", b"x" * 2000).status
    assert 429 == chat(house).answer().status
    half = house.connect()
    half.send_raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
    half.leave()

    assert 429 == house.ask("GET", "/v1/models").status
    assert 1 == len(house.backend.turns)
    wire.leave()
    assert 200 == house.ask("GET", "/v1/models").status


def test_requests_on_one_connection() -> None:
    """Requests that a client sends without waiting for answers follow one another, so one place is enough for them."""
    house = limited(max_concurrent_per_key=1)
    wire = house.connect()
    for _ in range(3):
        wire.send("POST", "/v1/chat/completions", chat_body())
    for _ in range(3):
        house.backend.turn.start()
        house.backend.turn.end()

    assert [200] * 3 == [wire.answer().status for _ in range(3)]
    assert {} == house.admission.running


def test_two_keys_and_the_open_door() -> None:
    """Each key has its own places; where there is no key, all clients share them."""
    house = limited(("a-key", "b-key"), max_concurrent_per_key=1)
    house.connect().send("POST", "/v1/chat/completions", chat_body(), key="a-key")
    assert 429 == house.ask("GET", "/v1/models", key="a-key").status
    assert 200 == house.ask("GET", "/v1/models", key="b-key").status
    open_house = limited((), max_concurrent_per_key=1)
    chat(open_house)

    assert 429 == open_house.ask("GET", "/v1/models", key=None).status


# -- Rates --------------------------------------------------------------------


def test_the_rate_of_an_address() -> None:
    """The request after the last is 429, says when to come back, and is served then; health is served all the time."""
    house = limited(rate_limit_per_ip=2)
    told = [house.ask("GET", "/v1/models").headers for _ in range(2)]
    assert ["1", "0"] == [headers["x-ratelimit-remaining"] for headers in told]
    answer = house.ask("POST", "/v1/chat/completions", b"{ not looked at")

    assert (429, "rate_limit_exceeded", "61") == (answer.status, answer.error["code"], answer.headers["retry-after"])
    assert "rate_limit_exceeded" == house.access["error"]
    for path in ("/", "/health", "/health/live", "/health/ready"):
        health = house.ask("GET", path)
        assert (200, []) == (health.status, [name for name in health.headers if "ratelimit" in name])
    assert 204 == house.ask("OPTIONS", "/v1/models").status
    house.clock.advance(61)
    assert 200 == house.ask("GET", "/v1/models").status


@pytest.mark.parametrize("header", ["X-Claude-Session-ID", "X-Session-ID"])
def test_the_rate_of_a_session(header: str) -> None:
    """A session has a rate of its own, however its id is written; requests that name none are not counted by it."""
    house = limited(rate_limit_per_session=2)
    for _ in range(5):
        chat(house).leave()
    for session_id in (SESSION, SESSION.upper()):
        house.connect().send("POST", "/v1/chat/completions", chat_body(), {header: session_id})
    answer = house.ask("POST", "/v1/chat/completions", chat_body(), headers={header: SESSION})

    assert (429, "0") == (answer.status, answer.headers["x-ratelimit-remaining"])
    assert "session" in answer.error["message"]
    assert 400 == house.ask("POST", "/v1/chat/completions", chat_body(), headers={header: "x"}).status


def test_the_key_comes_before_the_limits() -> None:
    """Who has no key is told so, within limits and beyond, and uses up nothing of those who have one."""
    house = limited(rate_limit_per_ip=2)
    answers = [house.ask("GET", "/v1/models", key=key) for key in (None, None, None, "wrong", "wrong")]

    assert {(401, "2")} == {(answer.status, answer.headers["x-ratelimit-remaining"]) for answer in answers}
    assert 200 == house.ask("GET", "/v1/models").status


# -- What answers say ---------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/v1/models", KEY, 200),
        ("GET", "/v1/models/none", KEY, 404),
        ("GET", "/v1/models/nope", KEY, 404),
        ("GET", "/v1/models", "wrong", 401),
        ("GET", "/nowhere", KEY, 404),
    ],
)
def test_every_answer_tells(method: str, path: str, key: str, status: int) -> None:
    """Answers of limited routes, errors too, have both families of headers, each once."""
    house = limited(rate_limit_per_ip=60, rate_limit_per_session=10)
    house.clock.advance(30)
    house.ask("GET", "/v1/models")
    answer = house.ask(method, path, key=key)

    used = 1 if status == 401 else 2
    assert status == answer.status
    assert ["60", str(60 - used), "120"] == [answer.headers[name] for name in OURS]
    assert ["60", str(60 - used), "1m30s"] == [answer.headers[name] for name in OPENAIS]


def test_a_stream_tells() -> None:
    """So do streams."""
    house = limited(rate_limit_per_ip=60)
    wire = chat(house, stream=True)
    house.backend.turn.start()
    house.backend.turn.say("Hello")

    assert {*OURS, *OPENAIS} <= set(wire.answer().headers)
    wire.leave()


def test_the_nearest_limit_is_told() -> None:
    """Of two limits that one is told which has less left."""
    house = limited(rate_limit_per_ip=60, rate_limit_per_session=10)
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(), {"X-Claude-Session-ID": SESSION})
    answered(house, wire)
    answer = wire.answer()

    assert ["10", "9", "120"] == [answer.headers[name] for name in OURS]


def test_no_limits_are_not_told() -> None:
    """Without rate limits there is nothing to tell."""
    answer = limited().ask("GET", "/v1/models")

    assert (200, []) == (answer.status, [name for name in answer.headers if "ratelimit" in name])


@pytest.mark.parametrize("own", [True, False])
def test_a_relayed_answer(own: bool) -> None:
    """An upstream that tells its limits under OpenAI's names is not contradicted; ours have other names."""
    house = limited(rate_limit_per_ip=60)
    wire = chat(house, "gpt-4o")
    theirs = [(b"X-RateLimit-Remaining-Requests", b"499"), (b"x-ratelimit-remaining-tokens", b"9")] if own else []
    house.relay.exchange.head(200, [*JSON, *theirs])
    house.relay.exchange.send(b"{}")
    house.relay.exchange.end()
    answer = wire.answer()

    assert ["60", "59", "120"] == [answer.headers[name] for name in OURS]
    told = {name: value for name, value in answer.headers.items() if name.endswith(("-requests", "-tokens"))}
    if own:
        assert {"x-ratelimit-remaining-requests": "499", "x-ratelimit-remaining-tokens": "9"} == told
    else:
        assert dict(zip(OPENAIS, ("60", "59", "2m0s"), strict=True)) == told


# -- Whose they are -----------------------------------------------------------


def test_behind_a_trusted_proxy() -> None:
    """A trusted proxy's clients are told apart, in the limits and in the log, and cannot pass for one another."""
    # 192.168.1.1 is the peer of every connection here.
    house = limited(server=ServerConfig(trusted_proxies=(ip_network("192.168.0.0/16"),)), rate_limit_per_ip=1)

    def ask(forwarded: str) -> tuple[int, str]:
        status = house.ask("GET", "/v1/models", headers={"X-Forwarded-For": forwarded}).status
        return status, house.access["client"]

    assert (200, "1.2.3.4") == ask("1.2.3.4")
    assert (200, "5.6.7.8") == ask("5.6.7.8")
    assert (429, "1.2.3.4") == ask("9.9.9.9, 1.2.3.4")
    assert (429, "5.6.7.8") == ask("9.9.9.9, 5.6.7.8, 192.168.2.2")


def test_nobody_is_believed_by_default() -> None:
    """Without trusted proxies a client is who it is connected as."""
    house = limited(rate_limit_per_ip=1)
    statuses = [house.ask("GET", "/v1/models", headers={"X-Forwarded-For": f"1.2.3.{n}"}).status for n in range(2)]

    assert ([200, 429], "192.168.1.1") == (statuses, house.access["client"])


def test_wrong_keys_are_not_tried_for_ever() -> None:
    """An address that sends wrong keys is told so, and from its limit on to wait."""
    house = limited(rate_limit_per_ip=3)
    answers = [house.ask("GET", "/v1/models", key="wrong") for _ in range(5)]

    assert [401, 401, 401, 429, 429] == [answer.status for answer in answers]
    assert "retry-after" in answers[-1].headers


def test_a_conversation_that_is_too_long() -> None:
    """Where the operator set a limit, a longer conversation for Claude Code is refused; the upstream's are its own."""
    house = limited(server=ServerConfig(max_messages=1, max_characters=10))
    messages = [{"role": "user", "content": "Hello"}] * 2
    answers = [
        house.ask("POST", "/v1/chat/completions", chat_body(messages=each))
        for each in (messages, [{"role": "user", "content": "x" * 11}])
    ]

    assert [(400, "messages")] * 2 == [(answer.status, answer.error["param"]) for answer in answers]
    assert [] == house.backend.turns
