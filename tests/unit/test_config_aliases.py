"""
The names that other gateways have for settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claudeproxy.config import SETTINGS, ConfigError, load
from claudeproxy.config.aliases import ALIASES
from claudeproxy.config.document import report


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("API_PORT", "8000", "PORT", 8000),
        ("CLAUDE_BINARY_PATH", "/opt/claude", "CLAUDE_PATH", "/opt/claude"),
        ("CLAUDE_TIMEOUT", "300", "REQUEST_TIMEOUT_MS", 300.0),
        ("CORS_ORIGIN", "https://a.example", "CORS_ALLOWED_ORIGINS", ("https://a.example",)),
        ("CORS_ORIGINS", "https://a.example,https://b.example", "CORS_ALLOWED_ORIGINS", None),
        ("OPENAI_API_KEY_REQUIRED", "true", "REQUIRE_AUTH", True),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "100", "RATE_LIMIT_PER_IP", 100),
    ],
)
def test_an_alias(name: str, text: str, setting: str, value: Any) -> None:
    """It sets what it stands for, in its own unit, and is shown as the origin."""
    config = load({}, {name: text, "API_KEY": "x"})

    assert f"environment {name}" == config.origin(setting)
    assert value in (None, config.readings[setting].value)
    assert f"# environment {name}\n" in report(config) + "\n"
    assert () == config.concerns


def test_all_are_tried() -> None:
    """The cases above are all that there are, and none is a setting's own name."""
    names = [alias.name for alias in ALIASES]
    mark = test_an_alias.pytestmark[0]  # type: ignore[attr-defined]

    assert [case[0] for case in mark.args[1]] == names
    assert not set(names) & set(SETTINGS)


def test_its_timeout_is_the_requests() -> None:
    """Both sections that know the timeout have it, in seconds."""
    config = load({}, {"CLAUDE_TIMEOUT": "7"})

    assert (7.0, 7.0) == (config.claude.request_timeout, config.upstream.request_timeout)
    assert "request_timeout_ms = 7000" in report(config)


@pytest.mark.parametrize("where", ["option", "prefixed", "bare", "file"])
def test_our_own_name_wins(where: str, tmp_path: Path) -> None:
    """Wherever the setting stands by its own name, the alias has no effect; only what differs is a concern."""
    file = tmp_path / "file.toml"
    file.write_text("port = 1\n" if where == "file" else "")
    options = {"option": {"port": "1"}}.get(where, {})
    environ = {"prefixed": {"CLAUDEPROXY_PORT": "1"}, "bare": {"PORT": "1"}}.get(where, {})
    for other, count in (("2", 1), ("x", 1), ("1", 0), ("", 0)):
        config = load(options, {**environ, "CONFIG": str(file), "API_PORT": other})
        assert (1, count) == (config.server.port, len(config.concerns))
        if count:
            assert config.concerns[0] == f"API_PORT has no effect: PORT is set by {config.origin('PORT')}."


def test_two_aliases() -> None:
    """Of two names for one setting the first in the table counts."""
    config = load({}, {"CORS_ORIGIN": "https://a.example", "CORS_ORIGINS": "https://b.example"})

    assert ("https://a.example",) == config.server.cors_allowed_origins
    assert 1 == len(config.concerns)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"CLAUDE_TIMEOUT": "1.5"},
            "REQUEST_TIMEOUT_MS (environment CLAUDE_TIMEOUT): must be a whole number of seconds, at least 1, not '1.5'",
        ),
        ({"API_PORT": "x"}, "PORT (environment API_PORT): must be a whole number from 0 to 65535, not 'x'"),
        ({"CORS_ORIGIN": "*"}, "CORS_ALLOWED_ORIGINS (environment CORS_ORIGIN): must be origins such as"),
        (
            {"OPENAI_API_KEY_REQUIRED": "yes"},
            "REQUIRE_AUTH (environment OPENAI_API_KEY_REQUIRED): there is no key to be asked for; set API_KEY or",
        ),
        ({"REQUIRE_AUTH": "true"}, "REQUIRE_AUTH (environment REQUIRE_AUTH): there is no key to be asked for; set"),
        (
            {"API_PORT": "1", "LISTEN": "unix:/x"},
            "LISTEN (environment LISTEN): takes the place of HOST and PORT, so PORT (environment API_PORT) must not",
        ),
    ],
)
def test_a_mistake(environ: dict[str, str], said: str) -> None:
    """It is told with the setting, the alias and what the alias may be."""
    with pytest.raises(ConfigError) as caught:
        load({}, environ)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("spelling", ["CLAUDEPROXY_API_PORT", "api_port"])
def test_other_spellings_are_none(spelling: str) -> None:
    """Only the bare name counts."""
    assert 3456 == load({}, {spelling: "1"}).server.port


def test_keys_are_asked_for_where_there_are_any() -> None:
    """Saying that none is required does not open a door that has keys."""
    config = load({}, {"REQUIRE_AUTH": "false", "API_KEY": "x"})

    assert 1 == len(config.auth.api_keys)
    assert "REQUIRE_AUTH is false, but there are keys, so clients are asked for one." in config.concerns


def test_a_minute_that_is_none() -> None:
    """A rate per minute in a window of another length is a concern."""
    config = load({}, {"RATE_LIMIT_REQUESTS_PER_MINUTE": "100", "RATE_LIMIT_WINDOW_MS": "30000"})

    assert 100 == config.limits.rate_limit_per_ip
    assert ["RATE_LIMIT_REQUESTS_PER_MINUTE counts in a window that is no minute: 30 s"] == [
        concern.partition(" (")[0] for concern in config.concerns
    ]
