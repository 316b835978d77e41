"""
What a client sees of new settings: from the next request on they hold, and what runs is left alone.
"""

from __future__ import annotations

from claudeproxy.config import AuthConfig, LimitsConfig, Secret
from tests.memory.wire import KEY, House, chat_body

ORIGIN = "https://app.example"


def test_keys(house: House) -> None:
    """
    A key that is gone is refused from the next request on, on an open connection too; what it has running ends well.
    """
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body(stream=True))
    house.backend.turn.start()
    house.backend.turn.say("Hel")

    house.stored_keys.use(AuthConfig(api_keys=(Secret("new"),)))

    house.backend.turn.say("lo")
    house.backend.turn.end()
    answer = wire.answer()
    assert (200, True) == (answer.status, answer.complete)
    assert b"lo" in answer.body and answer.body.endswith(b"data: [DONE]\n\n")
    wire.send("GET", "/v1/models")
    assert 401 == wire.answer().status
    wire.send("GET", "/v1/models", key="new")
    assert 200 == wire.answer().status
    wire.leave()
    assert {} == house.admission.running


def test_the_first_key() -> None:
    """Where there was no key, the first one closes the door."""
    house = House(keys=())
    assert 200 == house.ask("GET", "/v1/models", key=None).status

    house.stored_keys.use(AuthConfig(api_key=Secret(KEY)))

    assert 401 == house.ask("GET", "/v1/models", key=None).status
    assert 200 == house.ask("GET", "/v1/models").status


def test_limits(house: House) -> None:
    """The next answer tells the new limit."""
    assert "60" == house.ask("GET", "/v1/models").headers["x-ratelimit-limit"]

    house.admission.use(LimitsConfig(rate_limit_per_ip=7))

    assert "7" == house.ask("GET", "/v1/models").headers["x-ratelimit-limit"]


def test_names_of_models(house: House) -> None:
    """Names come and go, in the list too, and the built-in ones stay."""

    def listed() -> set[str]:
        return {entry["id"] for entry in house.ask("GET", "/v1/models").json["data"]}

    before = listed()
    house.catalog.use({"mine": "haiku", "my-*": "opus"})
    assert {"mine"} == listed() - before
    for name, model in (("mine", "haiku"), ("my-own", "opus"), ("gpt-4o", "sonnet")):
        wire = house.connect()
        wire.send("POST", "/v1/chat/completions", chat_body(name), headers={"X-Claude-Code": "true"})
        wire.leave()
        assert model == house.backend.turn.request.backend_model
    house.catalog.use({})
    assert before == listed()


def test_origins(house: House) -> None:
    """Scripts of an origin may read answers from the moment it is on the list until it is not."""

    def allowed() -> tuple[str | None, str | None]:
        headers = house.ask("GET", "/health", headers={"Origin": ORIGIN}).headers
        assert headers.get("vary") == house.ask("GET", "/health").headers.get("vary")
        return headers.get("access-control-allow-origin"), headers.get("vary")

    assert (None, None) == allowed()
    house.app.cross_origin.use([ORIGIN])
    assert (ORIGIN, "Origin") == allowed()
    house.app.cross_origin.use([])
    assert (None, None) == allowed()


def test_the_access_log(house: House) -> None:
    """It is on while the level says so."""
    for level, count in (("warn", 0), ("info", 1)):
        house.threshold.use(level)
        house.ask("GET", "/health")
        assert count == len(house.events)
