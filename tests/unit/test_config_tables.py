"""
The tables of the configuration file, and what is said about bad ones.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from claudeproxy.concerns import concerns
from claudeproxy.config import Config, ConfigError, Secret, changes, load, renewed
from claudeproxy.config.document import report, sample
from claudeproxy.core.routing import BackendName, Step

GOOD = """
openai_api_key = "hush1"
upstream_retries = 3

[upstreams.deepseek]
base_url = "https://api.deepseek.com/v1/"
api_key = "hush2"
models = ["deepseek-*", "r1"]

[upstreams.local]
base_url = "http://127.0.0.1:8080/v1"

[[fallbacks]]
models = ["gpt-4o*"]
chain = ["openai", "deepseek/vendor/chat", "claude-code/sonnet[1m]", "claude-code"]
"""


def read(directory: Path, text: str) -> Config:
    """
    Read a configuration file.
    """
    file = directory / "claudeproxy.toml"
    file.write_text(text)
    return load({"config": str(file)}, {"HOME": "/h"})


def test_upstreams(tmp_path: Path) -> None:
    """A table is an upstream with its own address, key and models; all else is as the settings say."""
    config = read(tmp_path, GOOD)
    deepseek, local = config.upstreams

    assert ("deepseek", "https://api.deepseek.com/v1", Secret("hush2")) == (
        deepseek.name,
        deepseek.base_url,
        deepseek.api_key,
    )
    assert (("deepseek-*", "r1"), ()) == (deepseek.models, local.models)
    assert (None, True, 3) == (local.api_key, local.configured, local.retries)
    assert ("openai", Secret("hush1")) == (config.upstream.name, config.upstream.api_key)


def test_no_tables() -> None:
    """Without a file there are no further upstreams and no chains."""
    assert ((), ()) == (load({}, {}).upstreams, load({}, {}).fallbacks)


def test_fallbacks(tmp_path: Path) -> None:
    """A step is a backend, with the model to ask for behind the first slash."""
    (fallback,) = read(tmp_path, GOOD).fallbacks

    assert (
        Step(BackendName.UPSTREAM, "openai"),
        Step(BackendName.UPSTREAM, "deepseek", "vendor/chat"),
        Step(BackendName.CLAUDE, model="sonnet[1m]"),
        Step(BackendName.CLAUDE),
    ) == fallback.chain
    assert "gpt-4o-mini" in fallback.models and "gpt-4" not in fallback.models


def test_a_key_in_a_file(tmp_path: Path) -> None:
    """The key of an upstream can stand alone in a file."""
    (tmp_path / "key").write_text(" sk-filed\n")
    config = read(tmp_path, f'[upstreams.a]\nbase_url = "http://a/v1"\napi_key_file = "{tmp_path}/key"')

    assert [Secret("sk-filed")] == [upstream.api_key for upstream in config.upstreams]


def test_passthrough_off_leaves_the_tables(tmp_path: Path) -> None:
    """The OPENAI_* settings are about openai alone: switched off, no table goes with it."""
    config = read(tmp_path, "openai_passthrough_enabled = false\n" + GOOD)

    assert [False, True, True] == [each.configured for each in (config.upstream, *config.upstreams)]
    assert {False} == {upstream.allow_client_key for upstream in config.upstreams}


A = '[upstreams.a]\nbase_url = "http://a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstream = 1", "'upstream'): no such setting; did you mean 'upstreams'?"),
        ("upstreams = 1", "upstreams): must be tables, each with the name of an upstream: [upstreams.deepseek]"),
        ("[upstreams]\na = 1", "upstreams.a): must be a table: [upstreams.a]"),
        ("[upstreams.openai]", "upstreams.openai): the OPENAI_* settings describe this upstream; choose another name"),
        ("[upstreams.claude-code]", "upstreams.claude-code): this is no upstream; choose another name"),
        ("[upstreams.'a.b']\n", "upstreams.'a.b'): the name must be made of lower-case letters, digits, - and _"),
        ('[upstreams."a\\nb"]', "upstreams.'a\\nb'): the name must be made of lower-case letters"),
        ("[upstreams.A]", "upstreams.A): the name must be made of lower-case letters, digits, - and _, at most 64"),
        (
            "[upstreams.a]",
            "upstreams.a.base_url): is missing; it must be an absolute http or https URL without user, query or "
            "fragment",
        ),
        (A + "modles = []", "upstreams.a.modles): no such key; did you mean 'models'?"),
        (A + "port = 8080", "upstreams.a.port): is a setting, and settings stand above all tables of the file"),
        (
            A + 'api_keys_file = "k"',
            "upstreams.a.api_keys_file): is a setting, and settings stand above all tables of the file",
        ),
        (
            A + "zzz = 1",
            "upstreams.a.zzz): no such key; there are base_url, api_key, models, api_key_file",
        ),
        (
            A + "models = []",
            "upstreams.a.models): must be an array of one or more models' names, in which * stands for anything and ? "
            "for one character, not '[]'",
        ),
        (A + 'models = ["a b"]', "not \"['a b']\""),
        (A + 'api_key = "hush hush"', "upstreams.a.api_key): must be printable ASCII characters without spaces"),
        (A + "api_key_file = 1", "upstreams.a.api_key_file): must be the path of a file"),
        (A + 'api_key_file = "/nowhere/x"', "upstreams.a.api_key_file): cannot read '/nowhere/x': No such file or"),
        (A + 'api_key_file = "/x"\napi_key = "x"', "upstreams.a.api_key): must be set in one way, not also by"),
        ('[upstreams.a]\nbase_url = "http://u:hush@a"', "without user, query or fragment"),
        ("fallbacks = 1", "fallbacks): must be tables: [[fallbacks]]"),
        (
            '[[fallbacks]]\nmodels = ["a"]',
            "fallbacks[0].chain): is missing; it must be an array of one or more backends",
        ),
        (
            A + '[[fallbacks]]\nmodels = ["a"]\nchain = ["opnai"]',
            "fallbacks[0].chain): there is no backend 'opnai'; did you mean 'openai'?",
        ),
        (
            A + '[[fallbacks]]\nmodels = ["a"]\nchain = ["zzz/x"]',
            "fallbacks[0].chain): there is no backend 'zzz'; there are openai, claude-code, a",
        ),
        ('[[fallbacks]]\nmodels = ["a"]\nchain = ["openai/"]', "fallbacks[0].chain): must be an array of one or more"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, said: str) -> None:
    """One line says where it is, what is allowed and what may have been meant, and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    message = str(caught.value)

    assert len(message.splitlines()) == 1
    assert message.startswith(f"CONFIG ({tmp_path}/claudeproxy.toml: ")
    assert said in message
    assert "hush" not in message


def test_the_report(tmp_path: Path) -> None:
    """The report has the tables as a file has them, with masked keys, and reads as the same configuration."""
    config = read(tmp_path, GOOD)
    text = report(config)

    assert "hush" not in text
    table = tomllib.loads(text)
    assert {"base_url": "http://127.0.0.1:8080/v1"} == table["upstreams"]["local"]
    again = read(tmp_path, text.replace('"***"', '"hush2"').replace("\nconfig = ", "\n# "))
    assert (config.upstreams, config.fallbacks) == (again.upstreams, again.fallbacks)


def test_a_reload_leaves_the_tables(tmp_path: Path) -> None:
    """Tables that have changed need a restart, and are among what is said to need one; no secret is told."""
    running, fresh = read(tmp_path, GOOD), read(tmp_path, GOOD.replace("hush2", "hush3").replace("gpt-4o", "gpt-5"))
    config = renewed(running, fresh)

    assert running.upstreams == config.upstreams
    assert ["the tables of upstreams", "the tables of fallbacks"] == [str(change) for change in changes(config, fresh)]
    assert [] == list(changes(running, read(tmp_path, GOOD)))


def test_a_chain_with_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    """A chain that names openai, of which nothing else is said, may be a mistake."""
    without = GOOD.replace('openai_api_key = "hush1"', "")

    assert [False, True] == [
        any("names the upstream openai" in concern for concern in concerns(read(tmp_path, text), {}))
        for text in (GOOD, without)
    ]


def test_the_sample(tmp_path: Path) -> None:
    """The sample's tables are good ones."""
    lines = [line.removeprefix("#   ") for line in sample().splitlines() if line.startswith("#   ")]
    config = read(tmp_path, "\n".join(lines))

    assert (["deepseek"], 1) == ([upstream.name for upstream in config.upstreams], len(config.fallbacks))
