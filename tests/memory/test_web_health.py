"""
What the daemon says about itself.
"""

from __future__ import annotations

import pytest
from attrs import evolve

from claudeproxy import __version__
from claudeproxy.config import ClaudeConfig, Secret
from claudeproxy.core.health import UsageLimit
from tests.memory.doubles import MemoryBackend, MemoryRelay, healthy
from tests.memory.wire import House

NOBODY = ClaudeConfig()


def test_health(house: House) -> None:
    """The health page has the checks of the first seed, and the processes besides."""
    answer = house.ask("GET", "/health", key=None)

    assert 200 == answer.status
    assert {
        "status": "ready",
        "version": __version__,
        "claude_version": "2.1.329",
        "checks": {
            "claude_cli": "ok",
            "anthropic_key": "ok",
            "openai_passthrough": "ok",
            "upstreams": {"openai": {"status": "ok", "breaker": "closed", "failures": 0}},
            "capacity": {"active": 1, "max": 10, "queued": 2, "warm": 3, "live": 4, "parked": 0},
            "usage_limits": [],
        },
        "reasons": [],
    } == answer.json
    assert ([], []) == (house.backend.turns, house.relay.exchanges)


def test_the_accounts_limits_are_shown(house: House) -> None:
    """An operator sees which usage limit is near or reached, and until when; the daemon stays ready."""
    reached = UsageLimit("five_hour", "rejected", 1795267318.0, 1.0)
    house.backend.reported = evolve(house.backend.reported, usage_limits=(reached, UsageLimit("", "rejected", None)))
    answer = house.ask("GET", "/health", key=None)

    assert 200 == answer.status
    assert [
        {"type": "five_hour", "status": "rejected", "utilization": 1.0, "resets_at": "2026-11-21T13:21:58Z"},
        {"type": None, "status": "rejected", "utilization": None, "resets_at": None},
    ] == answer.json["checks"]["usage_limits"]


@pytest.mark.parametrize(
    ("cli", "claude", "upstream", "ready"),
    [
        ("ok", ClaudeConfig(api_key=Secret("k")), "no_key", True),
        ("ok", ClaudeConfig(auth_token=Secret("k")), "no_key", True),
        ("ok", ClaudeConfig(oauth_token=Secret("k")), "no_key", True),
        ("ok", ClaudeConfig(login=True), "disabled", True),
        ("ok", NOBODY, "no_key", False),
        ("missing", ClaudeConfig(api_key=Secret("k")), "no_key", False),
        ("failing", ClaudeConfig(api_key=Secret("k")), "disabled", False),
        ("missing", NOBODY, "ok", True),
        ("failing", NOBODY, "ok", True),
    ],
)
def test_readiness(cli: str, claude: ClaudeConfig, upstream: str, ready: bool) -> None:
    """The daemon is ready when at least one backend can serve; else both pages say so with 503."""
    house = House(
        claude=claude, backend=MemoryBackend(reported=healthy(status=cli)), relay=MemoryRelay(status=upstream)
    )
    health, readiness = house.ask("GET", "/health"), house.ask("GET", "/health/ready")

    status = 200 if ready else 503
    assert (status, status) == (health.status, readiness.status)
    word = "ready" if ready else "unavailable"
    assert (word, word) == (health.json["status"], readiness.json["status"])
    assert bool(readiness.json["reasons"]) == (not ready)
    checks = health.json["checks"]
    assert (cli, upstream) == (checks["claude_cli"], checks["openai_passthrough"])
    assert ("missing" if claude == NOBODY else "ok") == checks["anthropic_key"]
    assert 200 == house.ask("GET", "/health/live").status


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "//"])
def test_the_root(house: House, path: str) -> None:
    """The root says what this is and where to go on."""
    body = house.ask("GET", path, key=None).json

    assert ("claudeproxy", __version__) == (body["name"], body["version"])
    assert "/v1/chat/completions" in body["links"].values()
