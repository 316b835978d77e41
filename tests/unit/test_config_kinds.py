"""
How settings are written.
"""

from __future__ import annotations

import tomllib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.config import SETTINGS, Secret, Setting
from claudeproxy.config.kinds import Boolean, Integer, Key, Kind, Milliseconds
from claudeproxy.config.lists import Destinations, Keys, ModelMap, Names, Origins, Proxies
from claudeproxy.config.places import BaseURL, Host, Path

ROWS = list(SETTINGS.values())


def reads(kind: Kind[object], text: str) -> object:
    """
    Return the value, or None when the text is refused.
    """
    try:
        return kind.parse(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.default_text and not row.computed_default], ids=lambda r: r.name
)
def test_default_reads_as_itself(row: Setting[object]) -> None:
    """
    A default, written out in the environment or in the file, is the default.
    """
    assert row.default == row.kind.parse(row.default_text)
    written = f"key = {row.kind.render_toml(row.default)}"
    assert row.default == row.kind.from_toml(tomllib.loads(written)["key"])


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """
    No text makes a parser fail in another way than by ValueError, and what it reads it can write and read again.
    """
    for row in ROWS:
        try:
            value = row.kind.parse(text)
        except ValueError:
            continue
        if not row.kind.secret:
            assert value == row.kind.parse(row.kind.render(value))
            assert value == row.kind.from_toml(tomllib.loads(f"key = {row.kind.render_toml(value)}")["key"])


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-1", "1.0", "1_0", "0x1", "1e3", "½", "٣", "65536", "9" * 5000]
)
def test_integers_are_digits_within_bounds(text: str) -> None:
    """
    A whole number has digits and nothing else, and stays within its bounds.
    """
    assert reads(Integer(0, 65535), text) is None


def test_milliseconds_are_held_in_seconds() -> None:
    """
    1500 is one and a half seconds.
    """
    assert Milliseconds(0).parse("1500") == 1.5
    assert Milliseconds(0).render(1.5) == "1500"


@pytest.mark.parametrize("value", ["1", 1.0, True])
def test_toml_numbers_are_whole_numbers(value: object) -> None:
    """
    In the file a number is a number: no text, no float, no boolean.
    """
    with pytest.raises(ValueError):
        Integer(0).from_toml(value)


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("Yes", True), ("no", False), ("0", False)])
def test_booleans_have_three_spellings(text: str, value: bool) -> None:
    """
    true, 1, yes and their opposites are read in any case.
    """
    assert value is Boolean().parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("https://api.example/v1/", "https://api.example/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("api.example/v1", None),
        ("/v1", None),
        ("ftp://api.example", None),
        ("https://api.example/v1?x=1", None),
        ("https://api.example/v1#x", None),
        ("https://user:word@api.example/v1", None),
        ("https://api.example:99999", None),
        ("https://api.example/a b", None),
        ("https:///v1", None),
    ],
)
def test_base_urls_are_absolute(text: str, value: str | None) -> None:
    """
    A base URL is absolute, of http or https, has nothing behind its path, and loses the slash at its end.
    """
    assert value == reads(BaseURL(), text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("https://app.example", ("https://app.example",)),
        ("https://App.example:8443, http://localhost:3000", ("https://app.example:8443", "http://localhost:3000")),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("*", None),
        ("https://app.example/", None),
        ("https://*.example", None),
        ("app.example", None),
        (",", None),
    ],
)
def test_origins_are_exact(text: str, value: tuple[str, ...] | None) -> None:
    """
    An origin is scheme, host and perhaps port: no path and no wildcard.
    """
    assert value == reads(Origins(), text)


def test_model_map_pairs() -> None:
    """
    MODEL_MAP has pairs of a pattern and a model, each pattern once.
    """
    assert ModelMap().parse("gpt-5*=opus, foo=haiku") == {"gpt-5*": "opus", "foo": "haiku"}
    for text in ("gpt-5", "=opus", "gpt-5=", "a=b,a=c", "a b=c", ""):
        assert reads(ModelMap(), text) is None


def test_keys_are_separated_by_commas_or_lines() -> None:
    """
    Several keys stand in one line with commas, or each in a line of its own; one that comes twice counts once.
    """
    assert (Secret("a"), Secret("b")) == Keys().parse("a, b,a,")
    assert (Secret("a"), Secret("b")) == Keys().parse("a\nb\n")
    assert reads(Keys(), "a b") is None
    assert reads(Key(), "naïve") is None


def test_hosts() -> None:
    """
    A host is a name or an address, an IPv6 address with or without brackets.
    """
    assert [Host().parse(text) for text in ("127.0.0.1", "localhost", "[::1]")] == ["127.0.0.1", "localhost", "::1"]
    for text in ("", "a b", "http://x", "127.0.0.1:80", "-x"):
        assert reads(Host(), text) is None


def test_paths_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A path is made absolute, since the CLI runs in another directory; a bare name may be left to PATH.
    """
    monkeypatch.setenv("HOME", "/home/operator")
    monkeypatch.chdir("/")
    assert Path().parse("~/bin/claude") == "/home/operator/bin/claude"
    assert Path(bare_name=True).parse("bin/claude") == "/bin/claude"
    assert Path(bare_name=True).parse("claude") == "claude"


def test_names_are_names_of_variables() -> None:
    """
    CLAUDE_ENV_PASSTHROUGH takes names, not assignments.
    """
    assert Names().parse("HTTPS_PROXY,NO_PROXY") == ("HTTPS_PROXY", "NO_PROXY")
    assert reads(Names(), "HTTPS_PROXY=x") is None


def test_secrets_do_not_show() -> None:
    """
    No way of printing a secret shows it.
    """
    secret = Secret("sk-1")
    assert f"{secret} {secret!r} {secret!s}" == "*** *** ***"


def test_proxies() -> None:
    """
    TRUSTED_PROXIES takes addresses and networks of both families and unix sockets; no network has an address's bits.
    """
    networks = Proxies().parse("10.0.0.0/8, 127.0.0.1,::1,fd00::/8")
    assert networks == tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1/32", "::1/128", "fd00::/8")))
    assert Proxies().render(Proxies().parse("unix, ::1")) == "unix,::1"
    assert Proxies().render(networks) == "10.0.0.0/8,127.0.0.1,::1,fd00::/8"
    assert Proxies().from_toml(["10.0.0.0/8"]) == networks[:1]
    assert Proxies().render_toml(networks[:2]) == '["10.0.0.0/8", "127.0.0.1"]'
    for text in ("10.0.0.1/8", "proxy.example", "10.0.0.0/33", "1.2.3", "*"):
        assert reads(Proxies(), text) is None


def test_destinations() -> None:
    """
    IMAGE_FETCH_ALLOW takes addresses, networks and names of hosts; what is neither is no name either.
    """
    found = Destinations().parse("10.0.0.0/8,::1, Pics.internal,localhost")
    assert found == (ip_network("10.0.0.0/8"), ip_network("::1"), "pics.internal", "localhost")
    assert Destinations().render(found) == "10.0.0.0/8,::1,pics.internal,localhost"
    assert Destinations().from_toml(["10.0.0.0/8"]) == found[:1]
    assert Destinations().render_toml(found[1:3]) == '["::1", "pics.internal"]'
    for text in (
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0",
        "300.1.1.1",
        "*.internal",
        "a b",
        "x:80",
        "http://x",
        "a..b",
        "",
    ):
        assert reads(Destinations(), text) is None
