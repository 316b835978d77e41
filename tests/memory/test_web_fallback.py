"""
Fallback chains and several upstreams, through the whole web side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from claudeproxy.config import Secret, ServerConfig, UpstreamConfig
from claudeproxy.core.events import Usage
from claudeproxy.core.routing import BackendName, Fallback, ModelNames, Step
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
from tests.memory.doubles import EVENTS, JSON, SESSION, Exchange, Turn
from tests.memory.wire import Answer, House, Wire, chat_body

CLAUDE = Step(BackendName.CLAUDE)
SONNET = Step(BackendName.CLAUDE, model="sonnet")
OPENAI = Step(BackendName.UPSTREAM, "openai")
DEEPSEEK = Step(BackendName.UPSTREAM, "deepseek", "deepseek-chat")
LOCAL = Step(BackendName.UPSTREAM, "local")

ODD = b'{ "model" :"gpt-5",\n"messages": [{"role":"user","content":"\\u0041"}], "unknown": 1e2 }'
OK = b'{"choices": []}'
BUSY = b'{"error":  {"message": "slow down"}}'


def named(name: str, *models: str) -> UpstreamConfig:
    """
    A further upstream.
    """
    url = f"http://{name}/v1"
    return UpstreamConfig(name=name, base_url=url, base_url_given=True, models=models, allow_client_key=False)


@pytest.fixture
def chain() -> Iterator[Callable[..., House]]:
    """
    Houses with two further upstreams, in which a chain of these steps serves gpt-5.
    """
    houses = []

    def make(*steps: Step, **settings: Any) -> House:
        if steps:
            settings["fallbacks"] = (Fallback(ModelNames(("gpt-5*",)), steps),)
        upstreams = (named("deepseek", "deepseek-*", "r1"), named("local", "llama*"))
        houses.append(House(upstreams=upstreams, **settings))
        return houses[-1]

    yield make
    for house in houses:
        assert [] == house.clock.getDelayedCalls()
        assert 0 == house.drain.in_flight


Make = Callable[..., House]


def send(house: House, body: bytes = ODD, **options: Any) -> Wire:
    """
    Send a chat request.
    """
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", body, **options)
    return wire


def serve(exchange: Exchange, body: bytes = OK) -> None:
    """
    Let an upstream answer as it should.
    """
    exchange.head()
    exchange.send(body)
    exchange.end(Usage(input_tokens=1, output_tokens=2))


def told(answer: Answer) -> tuple[str | None, str | None, str | None]:
    """
    What an answer says of who served it.
    """
    return (
        answer.headers.get("x-backend-mode"),
        answer.headers.get("x-upstream"),
        answer.headers.get("x-backend-attempts"),
    )


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
        assert not wire.answer().complete
        wire.leave()


def begun(house: House) -> Turn:
    """
    The last turn, granted.
    """
    house.backend.turn.start()
    return house.backend.turn


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
    assert not answer.complete and b'"code":"overloaded"' in answer.body
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


def test_tables_name_their_models(chain: Make) -> None:
    """Without chains a table gets the models that it names, and openai the others; the answer says which it was."""
    house = chain()
    for model, name in (("deepseek-chat", "deepseek"), ("llama3", "local"), ("gpt-5", "openai")):
        wire = send(house, chat_body(model))
        exchange = house.relays[name].exchange
        assert not exchange.request.hands_over
        serve(exchange)
        assert ("openai-passthrough", name, "1") == told(wire.answer())
        wire.leave()
        assert (name, False) == (house.access["upstream"], "attempts" in house.access)


def test_one_upstream_is_not_named(house: House) -> None:
    """Where there is no table nothing is said of which upstream it was; how often it was asked is."""
    wire = send(house)
    serve(house.relay.exchange)

    assert ("openai-passthrough", None, "1") == told(wire.answer())
    wire.leave()
    assert "upstream" not in house.access


def test_an_error_says_how_often_a_backend_was_asked(house: House) -> None:
    """An error of a backend has the number of tries, one from before any was asked has not."""
    wire = send(house, chat_body("sonnet"))
    begun(house).fail(Overloaded("529"))
    assert ("claude-code", None, "1") == told(wire.answer())
    wire.leave()

    assert None is told(house.ask("POST", "/v1/chat/completions", b"{}"))[2]
    assert None is told(house.ask("GET", "/v1/models"))[2]


@pytest.mark.parametrize(
    ("openai", "expected"),
    [
        (UpstreamConfig(api_key=Secret("k")), "openai"),
        (UpstreamConfig(), "deepseek"),
        (UpstreamConfig(enabled=False), "deepseek"),
    ],
)
def test_every_other_path(chain: Make, openai: UpstreamConfig, expected: str) -> None:
    """What is no chat goes to openai where it is configured, and otherwise to the first upstream of the file."""
    house = chain(OPENAI, LOCAL, upstream=openai)
    wire = house.connect()
    wire.send("POST", "/v1/whatever", b"{}")
    exchange = house.relays[expected].exchange
    assert not exchange.request.hands_over
    serve(exchange)

    assert ("openai-passthrough", expected, "1") == told(wire.answer())
    wire.leave()


def test_the_lists_of_all_upstreams(chain: Make) -> None:
    """Each upstream's models are listed that it would be asked for; a name that two have is described by who serves."""
    house = chain(LOCAL, DEEPSEEK, OPENAI)
    house.relays["deepseek"].models = (
        {"id": "deepseek-chat", "owned_by": "deepseek"},
        {"id": "r1", "owned_by": "deepseek"},
        {"id": "r2", "owned_by": "deepseek"},
        {"id": "gpt-5", "owned_by": "deepseek"},
    )
    house.relays["local"].models = ({"id": "llama3", "owned_by": "local"}, {"id": "gpt-5", "owned_by": "local"})
    house.relay.models = (
        {"id": "gpt-5", "owned_by": "openai"},
        {"id": "r1", "owned_by": "openai"},
        {"id": "o3", "owned_by": "openai"},
        {"id": "claude-old", "owned_by": "openai"},
    )
    entries = {entry["id"]: entry["owned_by"] for entry in house.ask("GET", "/v1/models").json["data"]}

    expected = {"deepseek-chat": "deepseek", "r1": "deepseek", "llama3": "local", "gpt-5": "local", "o3": "openai"}
    assert {**expected, "claude-old": "openai"} == {
        name: owner for name, owner in entries.items() if owner != "anthropic"
    }


def test_lists_are_asked_for_at_the_same_time(chain: Make) -> None:
    """The slowest upstream decides how long the list takes, and the daemon's stop does not wait for it."""
    house = chain()
    for relay in house.relays.values():
        relay.listing = Deferred()
    wire = house.connect()
    wire.send("GET", "/v1/models")
    for name in ("local", "openai"):
        house.relays[name].listing.callback(({"id": f"llama-{name}"},))  # type: ignore[union-attr]
    assert b"" == wire.sent
    stopped = ensureDeferred(house.drain.stop(0))
    house.clock.advance(0)

    assert (503, "server_shutting_down") == ((answer := wire.answer()).status, answer.error["code"])
    wire.close()
    house.clock.advance(5)
    assert stopped.called


@pytest.mark.parametrize(
    ("steps", "owner"),
    [((OPENAI, LOCAL), "openai"), ((LOCAL, OPENAI), "local"), ((SONNET, OPENAI), "openai"), ((DEEPSEEK,), None)],
)
def test_who_describes_a_model_of_a_chain(chain: Make, steps: tuple[Step, ...], owner: str | None) -> None:
    """A chain's model is described by the first backend that serves it under its name, and listed by no other."""
    house = chain(*steps)
    for name, relay in house.relays.items():
        relay.models = ({"id": "gpt-5", "owned_by": name},)
    entries = {entry["id"]: entry["owned_by"] for entry in house.ask("GET", "/v1/models").json["data"]}

    assert owner == entries.get("gpt-5")


def test_a_name_of_claude_codes_in_a_chain(chain: Make) -> None:
    """A name that Claude Code has as well is described by whoever is asked first."""
    owners = []
    for steps in ((CLAUDE, OPENAI), (OPENAI, CLAUDE)):
        house = chain(fallbacks=(Fallback(ModelNames(("gpt-4o",)), steps),))
        house.relay.models = ({"id": "gpt-4o", "owned_by": "openai"},)
        owners.append(house.ask("GET", "/v1/models/gpt-4o").json["owned_by"])

    assert ["anthropic", "openai"] == owners


def test_health(chain: Make) -> None:
    """The health page has every upstream; one that can serve is enough to be ready."""
    house = chain(upstream=UpstreamConfig())
    house.relay.status = "no_key"
    body = house.ask("GET", "/health").json

    assert ("ready", "no_key") == (body["status"], body["checks"]["openai_passthrough"])
    assert ["deepseek", "local", "openai"] == list(body["checks"]["upstreams"])
    assert {"status": "ok", "breaker": "closed", "failures": 0} == body["checks"]["upstreams"]["local"]


def test_scripts_may_read_who_served(chain: Make) -> None:
    """The names are among those that a script of an allowed origin may read."""
    house = chain(server=ServerConfig(cors_allowed_origins=("https://app.example",)))
    answer = house.ask("GET", "/health", headers={"Origin": "https://app.example"})

    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"X-Backend-Attempts", "X-Upstream"} <= set(exposed)
