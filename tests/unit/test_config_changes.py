"""
What differs between two configurations, and what of it a running daemon takes.
"""

from __future__ import annotations

import pytest

from claudeproxy.config import SETTINGS, ConfigError, Secret, changes, load, renewed


def told(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """
    Return what is said about the step between two environments.
    """
    return [str(change) for change in changes(load({}, old), load({}, new))]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, []),
        ({"PORT": "1"}, {"PORT": "2"}, ["PORT 1 -> 2"]),
        ({}, {"MODEL_MAP": "a=opus"}, ["MODEL_MAP (none) -> a=opus"]),
        ({"RATE_LIMIT_WINDOW_MS": "1000"}, {}, ["RATE_LIMIT_WINDOW_MS 1000 -> 60000"]),
        ({"ANTHROPIC_BASE_URL": "http://a"}, {}, ["ANTHROPIC_BASE_URL http://a -> (none)"]),
        ({}, {"PORT": "3456"}, []),
        ({"API_KEY": "hush1"}, {"API_KEY": "hush2"}, ["API_KEY 1 -> 1 (1 came, 1 went)"]),
        ({"API_KEYS": "hush1,hush2"}, {"API_KEYS": "hush2,hush3,hush4"}, ["API_KEYS 2 -> 3 (2 came, 1 went)"]),
        ({}, {"API_KEY": "hush1"}, ["API_KEY 0 -> 1 (1 came, 0 went)"]),
    ],
)
def test_changes(old: dict[str, str], new: dict[str, str], said: list[str]) -> None:
    """
    A change is told by name, old and new value as they are written; of secrets only how many came and went.
    """
    assert said == told(old, new)


def test_what_is_live() -> None:
    """
    Who may come in, how often, under which names of models, what answers show, and what is logged: nothing else changes
    in a running daemon.
    """
    assert {
        "API_KEY",
        "API_KEYS",
        "CORS_ALLOWED_ORIGINS",
        "LOG_LEVEL",
        "MAX_CONCURRENT_PER_KEY",
        "MODEL_MAP",
        "RATE_LIMIT_PER_IP",
        "RATE_LIMIT_PER_KEY",
        "RATE_LIMIT_PER_SESSION",
        "RATE_LIMIT_WINDOW_MS",
        "REASONING",
        "REQUIRE_AUTH",
    } == {name for name, row in SETTINGS.items() if row.live}


def test_renewed() -> None:
    """
    Live settings have their new value, also those that two settings make together; the others keep theirs, and are
    still a difference the next time.
    """
    running = load({}, {"API_KEY": "a", "PORT": "1", "LOG_FORMAT": "pretty"})
    fresh = load({}, {"API_KEYS": "b,c", "PORT": "2", "LOG_LEVEL": "debug"})

    config = renewed(running, fresh)

    assert (Secret("b"), Secret("c")) == config.auth.api_keys
    assert ("debug", "pretty") == (config.log.level, config.log.format)
    assert 1 == config.server.port
    assert "environment API_KEYS" == config.origin("API_KEYS")
    assert ["PORT 1 -> 2", "LOG_FORMAT pretty -> json"] == [str(change) for change in changes(config, fresh)]


def test_the_door_stays_shut() -> None:
    """
    A file that takes the keys away is refused where the daemon listens beyond loopback, also when the file says that
    from the next start on it shall not.
    """
    running = load({}, {"HOST": "0.0.0.0", "API_KEY": "a"})
    fresh = load({}, {"HOST": "127.0.0.1"})

    with pytest.raises(ConfigError, match=r"HOST \(environment HOST\): 0.0.0.0 can be reached from other machines"):
        renewed(running, fresh)
