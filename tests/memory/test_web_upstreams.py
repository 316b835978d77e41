"""
Several upstreams, and what answers and lists say of them, through the whole web side.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from claudeproxy.config import Secret, ServerConfig, UpstreamConfig
from claudeproxy.core.routing import Fallback, ModelNames, Step
from claudeproxy.errors import Overloaded
from tests.memory.chains import CLAUDE, DEEPSEEK, LOCAL, OPENAI, SONNET, Make, begun, send, serve, told
from tests.memory.wire import House, chat_body


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
