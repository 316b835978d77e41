"""
Who may come in, and what every answer carries.
"""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

import claudeproxy.web
from claudeproxy.config import ServerConfig, UpstreamConfig
from claudeproxy.errors import UpstreamUnreachable
from tests.memory.doubles import EVENTS
from tests.memory.test_web_errors import SECURITY
from tests.memory.wire import KEY, House, chat_body

ORIGIN = "https://app.example"

PUBLIC = {"/", "/health", "/health/live", "/health/ready", "/docs", "/openapi.json"}


def rules(house: House) -> list[str]:
    """The paths of the URL map."""
    return [str(rule.rule) for rule in house.app.klein.url_map.iter_rules()]


def test_every_route_but_the_public_ones_asks_for_a_key(house: House) -> None:
    """The whole URL map is walked: without a key only the paths of mission A4 answer."""
    paths = [re.sub("<[^>]*>", "x", rule) for rule in rules(house)]
    assert set(paths) >= PUBLIC and len(paths) > len(PUBLIC)
    for path in paths:
        for prefix in ("", "/v1"):
            for method in ("GET", "POST", "DELETE", "HEAD"):
                status = house.ask(method, prefix + path, key=None).status
                assert (401 == status) == (path not in PUBLIC), (method, prefix + path, status)


def test_there_is_one_way_into_the_url_map() -> None:
    """Klein's own ``route`` is called in one place, which lets in nobody without having decided who may."""
    modules = Path(next(iter(claudeproxy.web.__path__))).glob("**/*.py")
    users = [path.name for path in modules if re.search(r"\.route\(|\bKlein\(", path.read_text())]

    assert ["routes.py"] == users


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "missing_api_key"),
        ({"Authorization": "Bearer "}, 401, "missing_api_key"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, 401, "missing_api_key"),
        ({"Authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY}x"}, 401, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, 401, "invalid_api_key"),
        ({"x-api-key": "wrong"}, 401, "invalid_api_key"),
        ({"x-api-key": KEY, "Authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ({"x-api-key": "wrong", "Authorization": f"Bearer {KEY}"}, 401, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY}"}, 200, None),
        ({"authorization": f"bearer  {KEY} "}, 200, None),
        ({"X-API-Key": KEY}, 200, None),
        ({"x-api-key": KEY, "Authorization": f"Bearer {KEY}"}, 200, None),
        ({"x-api-key": KEY, "Authorization": "Basic dXNlcjpwYXNz"}, 200, None),
    ],
)
def test_keys(house: House, headers: dict[str, str], status: int, code: str | None) -> None:
    """Both headers are taken on every route; one wrong key is enough to be refused."""
    answer = house.ask("GET", "/v1/models", headers=headers, key=None)

    assert status == answer.status
    if code is not None:
        assert (code, "invalid_request_error") == (answer.error["code"], answer.error["type"])
        assert "Bearer" == answer.headers["www-authenticate"]
        assert "wrong" not in answer.error["message"]


def test_the_open_door() -> None:
    """Where no key exists nobody is asked for one, whatever they present."""
    house = House(keys=())

    assert 200 == house.ask("GET", "/v1/models", key=None).status
    assert 200 == house.ask("GET", "/v1/models", key="anything").status
    house.connect().send("POST", "/v1/chat/completions", chat_body(), key=None)
    assert "" == house.backend.turn.request.tenant


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example", "Host": "evil.example"},
        {"Host": "evil.example:3456"},
        {"Host": "localhost:3456", "Origin": "http://localhost:8080"},
        {"Host": "[2001:db8::1]"},
    ],
)
def test_the_open_door_and_the_web(headers: dict[str, str]) -> None:
    """
    Without a key, no page of another site can use the daemon, whatever name it gave itself or the daemon.

    The error says what mends it behind a reverse proxy as well, where it is the name alone.
    """
    house = House(keys=(), server=ServerConfig(cors_allowed_origins=(ORIGIN,)))
    asked = {**headers, "Content-Type": ""}
    answer = house.ask("POST", "/v1/chat/completions", chat_body(), headers=asked, key=None)

    assert (403, "origin_not_allowed") == (answer.status, answer.error["code"])
    assert all(word in answer.error["message"] for word in ("Host", "API_KEY", "Origin", "CORS_ALLOWED_ORIGINS"))
    assert [] == house.backend.turns


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ORIGIN},
        {"Host": "127.0.0.1:3456"},
        {"Host": "localhost", "Origin": "http://localhost"},
        {"Host": "app.localhost:3456", "Origin": "http://app.localhost:3456"},
        {"Host": "[::1]:3456"},
    ],
)
def test_the_open_door_and_this_machine(headers: dict[str, str]) -> None:
    """Without a key, programs of this machine and origins on the list come in."""
    house = House(keys=(), server=ServerConfig(cors_allowed_origins=(ORIGIN,)))

    assert 200 == house.ask("GET", "/v1/models", headers=headers, key=None).status


@pytest.mark.parametrize("given", ["a", "x" * 128, "req_1/2+3=~!", "a b"])
def test_a_request_id_of_the_clients(house: House, given: str) -> None:
    """A client's own request id of up to 128 printable ASCII characters comes back."""
    assert given == house.ask("GET", "/health", headers={"X-Request-ID": given}).headers["x-request-id"]


@pytest.mark.parametrize("given", ["", "x" * 129, "\xe4", "a\tb", "a\x7f"])
def test_a_request_id_of_our_own(house: House, given: str) -> None:
    """Any other request gets a random UUID."""
    wire = house.connect()
    wire.send_raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %b\r\n\r\n" % given.encode("latin-1"))

    assert 4 == UUID(wire.answer().headers["x-request-id"]).version


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/health"), ("GET", "/v1/models"), ("GET", "/nope"), ("OPTIONS", "/v1/x")],
)
def test_what_every_answer_carries(house: House, method: str, path: str) -> None:
    """Every answer has the security headers and a request id, each once, and no server's name."""
    answer = house.ask(method, path)

    assert SECURITY.items() <= answer.headers.items()
    assert {"x-request-id", "date"} <= set(answer.headers)
    assert "server" not in answer.headers
    assert len(set(answer.headers)) == len(answer.names)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/files/1", "/health", "/nope"])
def test_a_preflight(path: str) -> None:
    """A preflight of an allowed origin is 204 without a key, for what it asks, and may be remembered for a day."""
    house = House(server=ServerConfig(cors_allowed_origins=("https://other.example", ORIGIN)))
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, x-stainless-lang",
    }
    answer = house.ask("OPTIONS", path, headers=headers, key=None)

    assert (204, b"") == (answer.status, answer.body)
    assert ORIGIN == answer.headers["access-control-allow-origin"]
    assert "authorization, x-stainless-lang" == answer.headers["access-control-allow-headers"]
    assert "86400" == answer.headers["access-control-max-age"]
    assert "OPTIONS" in answer.headers["access-control-allow-methods"]
    assert "Origin" == answer.headers["vary"]
    assert [] == house.relay.exchanges


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "http://app.example", "null"])
def test_a_preflight_that_is_refused(origin: str) -> None:
    """A preflight of any other origin is 403 and allows nothing."""
    house = House(server=ServerConfig(cors_allowed_origins=(ORIGIN,)))
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = house.ask("OPTIONS", "/v1/models", headers=headers, key=None)

    assert (403, "origin_not_allowed") == (answer.status, answer.error["code"])
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" == answer.headers["vary"]


def test_options_without_cors(house: House) -> None:
    """OPTIONS from anyone else is 204 with the methods of the path, and never relayed."""
    alone = House(upstream=UpstreamConfig()).ask("OPTIONS", "/v1/chat/completions", key=None)
    answer = house.ask("OPTIONS", "/v1/chat/completions", key=None)

    assert (204, "POST, OPTIONS") == (alone.status, alone.headers["allow"])
    assert (204, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") == (answer.status, answer.headers["allow"])
    assert 204 == house.ask("OPTIONS", "/v1/files", key=None).status
    assert [] == house.relay.exchanges


@pytest.mark.parametrize("how", ["json", "error", "stream", "relayed"])
def test_an_allowed_origin_may_read_the_answer(how: str) -> None:
    """Answers of all kinds can be read by scripts of an allowed origin, our own headers included."""
    house = House(server=ServerConfig(cors_allowed_origins=(ORIGIN,)))
    wire = house.connect()
    headers = {"Origin": ORIGIN}
    if how == "json":
        wire.send("GET", "/health", headers=headers)
    elif how == "error":
        wire.send("GET", "/v1/models", headers=headers, key="wrong")
    else:
        wire.send("POST", "/v1/chat/completions", chat_body("gpt-4o"), headers=headers)
        if how == "stream":
            house.relay.exchange.head(200, EVENTS)
        else:
            house.relay.exchange.fail(UpstreamUnreachable("none"))
    answer = wire.answer()
    wire.leave()

    assert ORIGIN == answer.headers["access-control-allow-origin"]
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "Origin" == answer.headers["vary"]


def test_other_origins_may_not(house: House) -> None:
    """Without a list no origin is allowed, and an answer says nothing about origins."""
    answer = house.ask("GET", "/health", headers={"Origin": ORIGIN})

    assert 200 == answer.status
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/sonnet"])
def test_head(house: House, path: str) -> None:
    """HEAD has what GET has, but the body."""
    get, head = house.ask("GET", path), house.ask("HEAD", path)

    assert (get.status, get.headers["content-length"]) == (head.status, head.headers["content-length"])
    wire = house.connect()
    wire.send("HEAD", path)
    assert wire.sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "path", ["/health", "//health", "/health/", "/v1/health", "//v1//health//?x=/y//z", "/%68ealth"]
)
def test_how_a_path_is_spelled(house: House, path: str) -> None:
    """The prefix, doubled and trailing slashes and the query make no difference."""
    assert "ready" == house.ask("GET", path).json["status"]


def test_a_connection_after_a_long_answer(house: House) -> None:
    """The time for which a connection may be idle begins when an answer is complete."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body())
    house.clock.advance(60)
    house.backend.turn.start()
    house.backend.turn.end()
    house.clock.advance(74)
    assert not wire.closing
    house.clock.advance(2)
    assert wire.closing


def test_an_idle_connection(house: House) -> None:
    """A connection on which nothing happens is closed, one on which a request is answered is not."""
    wire, busy = house.connect(), house.connect()
    busy.send("POST", "/v1/chat/completions", chat_body())
    house.clock.advance(50)
    wire.send("GET", "/health")
    house.clock.advance(50)
    assert not wire.closing
    house.clock.advance(30)

    assert (True, False) == (wire.closing, busy.closing)
    house.clock.advance(10)
    assert wire.transport.aborted
    house.backend.turn.start()
    house.backend.turn.end()
    house.clock.advance(74)
    assert not busy.closing
    house.clock.advance(2)
    assert busy.closing


@pytest.mark.parametrize(
    "name", ["X-Should-Retry", "Retry-After", "retry-after-ms", "openai-processing-ms", "request-id"]
)
def test_what_sdks_read_is_exposed(name: str) -> None:
    """SDKs in a browser decide by these whether to try again; every header of ours in the reference is among them."""
    house = House(server=ServerConfig(cors_allowed_origins=(ORIGIN,)))
    exposed = house.ask("GET", "/v1/models", headers={"Origin": ORIGIN}).headers["access-control-expose-headers"]
    listed = {each.strip().lower() for each in exposed.split(",")}
    page = (
        (Path(__file__).parents[2] / "docs" / "reference" / "headers.md")
        .read_text()
        .partition("## What an answer has")[2]
    )
    ours = {each.lower() for each in re.findall(r"`((?:X-|x-ratelimit-|Idempotent-|Retry-|Allow)[\w-]*)`", page)}
    of_the_page = {"x-content-type-options", "x-frame-options", "x-accel-buffering"}

    assert name.lower() in listed
    assert {each for each in ours if not each.endswith("-")} - of_the_page <= listed


@pytest.mark.parametrize(("asked", "told"), [("true", "true"), ("false", None), (None, None)])
def test_a_page_of_the_public_web(asked: str | None, told: str | None) -> None:
    """A browser asks whether a public page may reach a server in a private network: if it may at all, it may."""
    house = House(server=ServerConfig(cors_allowed_origins=(ORIGIN,)))
    more = {} if asked is None else {"Access-Control-Request-Private-Network": asked}
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", **more}
    answer = house.ask("OPTIONS", "/v1/models", headers=headers, key=None)
    foreign = house.ask("OPTIONS", "/v1/models", headers={**headers, "Origin": "https://evil.example"}, key=None)

    assert told == answer.headers.get("access-control-allow-private-network")
    assert "access-control-allow-private-network" not in foreign.headers
