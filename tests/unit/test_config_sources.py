"""
Where settings come from, and what is said about a bad one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.config import SETTINGS, Config, ConfigError, Secret, load

SEED = {
    "PORT": 3456,
    "HOST": "127.0.0.1",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
    "API_KEY": None,
    "API_KEYS": (),
    "ANTHROPIC_API_KEY": None,
    "CLAUDE_PATH": "claude",
    "DEFAULT_MODEL": "sonnet",
    "REQUEST_TIMEOUT_MS": 300,
    "SESSION_TTL_MS": 3600,
    "MAX_SESSION_AGE_MS": 86400,
    "OPENAI_API_KEY": None,
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_PASSTHROUGH_ENABLED": True,
    "ALLOW_CLIENT_OPENAI_KEY": True,
    "RATE_LIMIT_PER_IP": 60,
    "RATE_LIMIT_PER_SESSION": 10,
    "RATE_LIMIT_WINDOW_MS": 60,
    "MAX_CONCURRENT_PER_KEY": 5,
    "MAX_CONCURRENT_PROCESSES": 10,
    "POOL_QUEUE_TIMEOUT_MS": 5,
    "SHUTDOWN_TIMEOUT_MS": 10,
    "CORS_ALLOWED_ORIGINS": (),
}


def refusal(options: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> str:
    """
    Return what is said about a configuration that cannot be used; it is one line.
    """
    with pytest.raises(ConfigError) as caught:
        load(options or {}, environ or {})
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """
    Where a test writes its configuration file.
    """
    return tmp_path / "claudeproxy.toml"


def with_file(toml: Path, text: str) -> Config:
    toml.write_text(text, "utf-8")
    return load({"config": str(toml)}, {})


def test_nothing_is_required() -> None:
    """
    With nothing set, every setting has the default that claude-cli-api documented.
    """
    config = load({}, {})
    assert {name: config.readings[name].value for name in SEED} == SEED
    assert {"default"} == {config.origin(name) for name in SETTINGS}


def test_precedence(toml: Path) -> None:
    """
    An option wins over the prefixed variable, that over the bare one, that over the file, and that over the default.
    """
    toml.write_text("port = 1\n")
    origins = []
    options, environ = {"port": "4"}, {"CLAUDEPROXY_PORT": "3", "PORT": "2", "CONFIG": str(toml)}
    for expected, forget in (
        (4, options.clear),
        (3, lambda: environ.pop("CLAUDEPROXY_PORT")),
        (2, lambda: environ.pop("PORT")),
    ):
        config = load(options, environ)
        assert expected == config.server.port
        origins.append(config.origin("PORT"))
        forget()
    config = load(options, environ)
    assert config.server.port == 1
    assert origins == ["option --port", "environment CLAUDEPROXY_PORT", "environment PORT"]
    assert f"{toml}: port" == config.origin("PORT")


def test_empty_variable_counts_as_not_set() -> None:
    """
    An empty variable neither sets anything nor hides another one.
    """
    assert load({}, {"PORT": ""}).server.port == 3456
    assert load({}, {"PORT": "1", "CLAUDEPROXY_PORT": ""}).server.port == 1


@pytest.mark.parametrize(
    ("options", "environ", "said"),
    [
        ({"port": "x"}, {}, "PORT (option --port): must be a whole number from 0 to 65535, not 'x'"),
        ({}, {"PORT": "65536"}, "PORT (environment PORT): must be a whole number from 0 to 65535, not '65536'"),
        (
            {},
            {"CLAUDEPROXY_LOG_LEVEL": "loud"},
            "LOG_LEVEL (environment CLAUDEPROXY_LOG_LEVEL): must be one of fatal, error, warn, info, debug, trace, "
            "silent, not 'loud'",
        ),
        (
            {},
            {"RATE_LIMIT_WINDOW_MS": "999"},
            "RATE_LIMIT_WINDOW_MS (environment RATE_LIMIT_WINDOW_MS): must be a whole",
        ),
        ({"host": ""}, {}, "HOST (option --host): must be an IP address or a host name, not ''"),
    ],
)
def test_bad_value(options: dict[str, str], environ: dict[str, str], said: str) -> None:
    """
    A bad value is answered with the setting, where the value came from, what is allowed and what it was.
    """
    assert refusal(options, environ).startswith(said)


@given(st.sampled_from(sorted(SETTINGS)), st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_value_is_taken_or_refused(name: str, text: str) -> None:
    """
    Whatever an option holds, there is a configuration or one line that names the setting and the option.
    """
    option = SETTINGS[name].option
    try:
        load({option: text}, {})
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith(f"{name} (option --{option}")


def test_bad_secret_is_not_shown() -> None:
    """
    A key that cannot be one is refused without being printed.
    """
    assert "hush" not in refusal(environ={"API_KEY": "hush hush"})
    assert "hush" not in refusal(environ={"OPENAI_BASE_URL": "https://me:hush@api.example"})


def test_keys_are_merged() -> None:
    """
    API_KEY is one of the keys, and none counts twice.
    """
    config = load({}, {"API_KEY": "a", "API_KEYS": "b,a"})
    assert (Secret("a"), Secret("b")) == config.auth.api_keys


def test_secret_from_a_file(tmp_path: Path) -> None:
    """
    A secret can come from a file that an option, a variable or the configuration file names.
    """
    secret = tmp_path / "secret"
    secret.write_text("sk-1\n")
    toml = tmp_path / "c.toml"
    toml.write_text(f'openai_api_key_file = "{secret}"\n')
    found = [
        load({"openai-api-key-file": str(secret)}, {"OPENAI_API_KEY": "sk-2"}),
        load({}, {"CLAUDEPROXY_OPENAI_API_KEY_FILE": str(secret), "OPENAI_API_KEY": "sk-2"}),
        load({}, {"OPENAI_API_KEY_FILE": str(secret)}),
        load({}, {"CONFIG": str(toml)}),
    ]
    assert [Secret("sk-1")] * 4 == [config.upstream.api_key for config in found]


def test_secret_in_two_ways() -> None:
    """
    A secret and a file for it in the same place contradict each other.
    """
    said = refusal(environ={"API_KEY": "a", "API_KEY_FILE": "/x"})
    assert said == "API_KEY (environment API_KEY, environment API_KEY_FILE): must be set in one way, not in both"


def test_unreadable_secret_file(tmp_path: Path) -> None:
    """
    A secret's file that is missing, empty or no text is named, with its setting.
    """
    missing = tmp_path / "missing"
    said = refusal(environ={"API_KEY_FILE": str(missing)})
    assert f"API_KEY (environment API_KEY_FILE): cannot read '{missing}': No such file or directory" == said
    (tmp_path / "empty").write_text("\n")
    assert refusal(environ={"API_KEY_FILE": str(tmp_path / "empty")}).startswith("API_KEY (environment API_KEY_FILE: ")
    (tmp_path / "binary").write_bytes(b"\xff")
    assert "is not UTF-8 text" in refusal(environ={"API_KEY_FILE": str(tmp_path / "binary")})


def test_file(toml: Path) -> None:
    """
    The file has the settings under their names in lower case, with the types of TOML.
    """
    config = with_file(
        toml,
        """
        port = 8080
        claude_login = true
        api_keys = ["a", "b"]
        cors_allowed_origins = ["https://app.example"]
        session_ttl_ms = 1500
        [model_map]
        "gpt-5*" = "opus"
        """,
    )
    assert config.server.port == 8080
    assert config.claude.login
    assert (Secret("a"), Secret("b")) == config.auth.api_keys
    assert config.server.cors_allowed_origins == ("https://app.example",)
    assert config.sessions.ttl == 1.5
    assert config.routing.model_map == {"gpt-5*": "opus"}
    assert str(toml) == config.server.config_file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "'prot'): no such setting; did you mean 'port'?"),
        ("PORT = 1", "'PORT'): no such setting; did you mean 'port'?"),
        ("[server]\nport = 1", "'server'): no such setting; "),
        ('config = "/x"', "'config'): no such setting"),
        ("port_file = 1", "'port_file'): no such setting"),
        ('port = "1"', ": port): must be a whole number from 0 to 65535, not '1'"),
        ("port = true", ": port): must be a whole number from 0 to 65535, not 'True'"),
        ('claude_login = "yes"', ": claude_login): must be true"),
        ("host = 1", ": host): must be an IP address"),
        ('api_keys = "a"', ": api_keys): must be keys"),
        ("api_key_file = 1", ": api_key_file): must be the path of a file"),
        ("model_map = { a = 1 }", ": model_map): must be pairs"),
        ("port = ", "is not TOML: Invalid value (at"),
        (f"port = {'[' * 5000}{']' * 5000}", "is nested too deeply"),
    ],
)
def test_bad_file(toml: Path, text: str, said: str) -> None:
    """
    A key that is no setting, a value of a wrong type and a file that is no TOML are named with the file.
    """
    toml.write_text(text)
    message = refusal({"config": str(toml)})
    assert said in message
    assert str(toml) in message


def test_missing_file() -> None:
    """
    A configuration file that cannot be read stops the start.
    """
    said = refusal(environ={"CLAUDEPROXY_CONFIG": "/nowhere.toml"})
    assert said == "CONFIG (environment CLAUDEPROXY_CONFIG): cannot read '/nowhere.toml': No such file or directory"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    """
    On loopback the door may be open.
    """
    assert load({}, {"HOST": host}).auth.api_keys == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "proxy.example"])
def test_beyond_loopback_needs_a_key(host: str) -> None:
    """
    Beyond loopback a key is needed, and the refusal says why and what to set.
    """
    said = refusal(environ={"HOST": host})
    assert said.startswith(f"HOST (environment HOST): {host} can be reached from other machines and no key is set")
    assert "set API_KEY or API_KEYS" in said
    assert host == load({}, {"HOST": host, "API_KEY": "k"}).server.host


def test_warm_processes_fit_into_the_pool() -> None:
    """
    More warm processes than processes in all are refused when asked for; the default just shrinks.
    """
    assert (
        "WARM_PROCESSES (environment WARM_PROCESSES): must be at most MAX_CONCURRENT_PROCESSES (2, from option "
        in refusal({"max-concurrent-processes": "2"}, {"WARM_PROCESSES": "3"})
    )
    assert load({"max-concurrent-processes": "1"}, {}).claude.warm_processes == 1
    assert load({"warm-processes": "0"}, {}).claude.warm_processes == 0


def test_state_directory() -> None:
    """
    State goes to XDG_STATE_HOME when that is absolute, else below the home directory.
    """
    assert load({}, {"XDG_STATE_HOME": "/x", "HOME": "/h"}).server.state_dir == "/x/claudeproxy"
    assert load({}, {"XDG_STATE_HOME": "x", "HOME": "/h"}).server.state_dir == "/h/.local/state/claudeproxy"
    assert load({}, {"STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}).server.state_dir == "/s"


def test_upstream_is_configured_by_key_or_address() -> None:
    """
    There is an upstream when it has a key or was named, and not when passthrough is off.
    """
    url = "http://127.0.0.1:1/v1"
    for configured, environ in (
        (False, {}),
        (True, {"OPENAI_API_KEY": "k"}),
        (True, {"OPENAI_BASE_URL": url}),
        (False, {"OPENAI_BASE_URL": url, "OPENAI_PASSTHROUGH_ENABLED": "false"}),
    ):
        assert configured is load({}, environ).upstream.configured


def test_request_timeout_holds_for_both_backends() -> None:
    """
    REQUEST_TIMEOUT_MS reaches Claude Code and the upstream.
    """
    config = load({}, {"REQUEST_TIMEOUT_MS": "1"})
    assert 0.001 == config.claude.request_timeout == config.upstream.request_timeout
