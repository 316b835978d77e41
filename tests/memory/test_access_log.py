"""
What the access log says of requests that go wrong, and what it never says.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import LogConfig
from tests.memory.wire import KEY, House, chat_body

SECRET = "sk-ant-" + "api03-" + "aB3dE6gH" * 5


def test_secrets_that_clients_put_where_they_do_not_belong(house: House) -> None:
    """A secret in the path, the query, the model's name or the request id is not logged; the route is."""
    wire = house.connect()
    wire.send("POST", f"/v1/chat/completions?key={SECRET}", chat_body(SECRET), headers={"X-Request-ID": SECRET})
    wire.leave()
    assert "/v1/chat/completions" == house.access["path"]
    house.ask("GET", f"/v1/models/{SECRET}", headers={"X-Request-ID": SECRET}, key=SECRET)
    assert ("invalid_api_key", "/v1/models/[redacted]") == (house.access["error"], house.access["path"])
    house.ask("GET", "/models/some/where")

    assert "/models/some/where" == house.access["path"]
    assert SECRET not in repr(house.events)


def test_every_request_has_one_line(house: House) -> None:
    """Requests are logged once, whether they are answered, refused, malformed, or given up by their client."""
    wire = house.connect()
    wire.send("GET", "/health")
    wire.send("GET", "/nope")
    wire.send("POST", "/v1/x", b"ab", headers={"Content-Length": "5"})
    wire.leave()
    other = house.connect()
    other.send_raw(b"nonsense\r\n\r\n")
    other.close()

    assert [200, 404, 499, 400] == [event["access"]["status"] for event in house.events]
    assert ["/health", "/nope", "/v1/x"] == [event["access"]["path"] for event in house.events[:3]]
    assert "malformed_request" == house.access["error"]
    assert not house.access.keys() & {"key", "client_left", "total_ms"}


@pytest.mark.parametrize(("level", "count"), [("info", 1), ("trace", 1), ("warn", 0), ("silent", 0)])
def test_the_level(level: str, count: int) -> None:
    """The access log is of level info."""
    house = House(log=LogConfig(level=level))
    house.ask("GET", "/v1/models")

    assert count == len(house.events)


def test_the_name_of_the_key(house: House) -> None:
    """A key is logged by the setting that it came from."""
    house.ask("GET", "/v1/models")

    assert "API_KEYS#62af87" == house.access["key"]
    assert KEY not in repr(house.events)


def test_long_texts(house: House) -> None:
    """What is too long to be looked at is not logged, not even its beginning."""
    wire = house.connect()
    wire.send("POST", "/v1/chat/completions", chat_body("claude-" + "x" * 500))
    wire.leave()
    assert "[too long]" == house.access["model"]
    house.ask("GET", "/v1/models/" + "x" * 5000)

    assert "[too long]" == house.access["path"]
