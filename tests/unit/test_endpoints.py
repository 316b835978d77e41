"""
Where the daemon may listen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from claudeproxy.config import ConfigError, Endpoint, load
from claudeproxy.config.endpoints import Endpoints
from claudeproxy.ops.listen import check_endpoints
from tests.live.certificates import Authority

LOCAL = (
    "tcp:80:interface=127.0.0.1",
    "tcp:port=80:interface=127.8.8.8",
    "tcp:80:127.0.0.1",
    "tcp:80:interface=localhost",
    r"tcp6:80:interface=\:\:1",
    r"ssl:80:interface=127.0.0.1:privateKey=a\:b.pem",
    "ssl:80:k.pem:c.pem:TLSv1_2_METHOD:127.0.0.1",
    r"tls:/certs:port=80:interface=\:\:1",
    "unix:/run/x.sock",
    "unix:address=/run/x.sock:mode=660",
)
REACHABLE = (
    "tcp:80",
    "tcp:80:interface=",
    "tcp:80:interface=0.0.0.0",
    "tcp:80:10.0.0.1",
    "tcp:80:interface=127.0.0.1:interface=0.0.0.0",
    r"tcp:80:interf\ace=0.0.0.0:interface=127.0.0.1",
    "tcp:80:interface=localhost.example",
    r"tcp6:80:interface=\:\:",
    "tcp6:80",
    "ssl:443:privateKey=127.0.0.1",
    "ssl:443:127.0.0.1",
    "tls:/certs:port=443",
    "systemd:domain=INET:index=0",
    "haproxy:tcp:80:interface=127.0.0.1",
    "onion:80",
)


@pytest.mark.parametrize("text", LOCAL + REACHABLE)
def test_who_can_reach_it(text: str) -> None:
    """What is not known to be this machine's alone needs a key."""
    assert (text in LOCAL) == Endpoint(text).is_local
    assert (Endpoint(text),) == load({"listen": text}, {"API_KEY": "x"}).server.endpoints
    if text in LOCAL:
        load({"listen": text}, {})
    else:
        with pytest.raises(ConfigError, match=r"^LISTEN \(option --listen\): .* may be reached from other machines"):
            load({"listen": text}, {})


def test_one_reachable_among_several() -> None:
    """Each of them counts."""
    with pytest.raises(ConfigError, match="tcp:81 may be reached"):
        load({"listen": "tcp:80:interface=127.0.0.1 tcp:81 unix:/x"}, {})


@pytest.mark.parametrize("text", ["", " ", "80", "tcp", "tcp:", "tcp::80", ":80", "tcp:80:", "tcp:80\\", "tcp:8\x000"])
def test_what_is_no_endpoint(text: str) -> None:
    """A text that no endpoint is written as is refused, before Twisted sees it."""
    with pytest.raises(ValueError):
        Endpoints().parse(text)


def test_several() -> None:
    """They are separated by white space, or an array in TOML; a path in an array may have spaces."""
    kind = Endpoints()
    several = kind.parse(" tcp:80\n  unix:/x tcp:80 ")

    assert ("tcp:80", "unix:/x") == tuple(endpoint.text for endpoint in several)
    assert several == kind.parse(kind.render(several))
    assert '["tcp:80", "unix:/x"]' == kind.render_toml(several)
    assert "unix:/a b" == kind.from_toml(["unix:/a b"])[0].text


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        ("127.0.0.1", "3456", "tcp:3456:interface=127.0.0.1"),
        ("::1", "0", r"tcp:0:interface=\:\:1"),
        ("localhost", "1", "tcp:1:interface=localhost"),
    ],
)
def test_host_and_port(host: str, port: str, endpoint: str) -> None:
    """Without LISTEN there is one endpoint, at HOST and PORT."""
    assert (Endpoint(endpoint),) == load({"host": host, "port": port}, {}).server.endpoints


@pytest.mark.parametrize("other", ["HOST", "PORT"])
def test_host_or_port_as_well(other: str) -> None:
    """Both ways at once are refused; the message names both."""
    with pytest.raises(ConfigError, match=rf"^LISTEN \(option --listen\): .*{other} \(environment {other}\) must not"):
        load({"listen": "unix:/x"}, {other: "1"})


def mistake(listen: str) -> str:
    """
    Return what is said about a mistake; it is one line.
    """
    config = load({"listen": listen}, {"API_KEY": "x"})
    with pytest.raises(ConfigError) as caught:
        check_endpoints(config)
    said = str(caught.value)
    assert 1 == len(said.splitlines())
    assert said.startswith("LISTEN (option --listen): ")
    return said.removeprefix("LISTEN (option --listen): ")


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("tcp:http", "tcp:http: invalid literal for int() with base 10: 'http'; must be endpoints of Twisted such as"),
        ("unix:/x tcp:80:q=1", "tcp:80:q=1: got an unexpected keyword argument 'q'; must be"),
        ("nothing:80", "nothing:80: Unknown endpoint type: 'nothing'; must be"),
        (
            "ssl:443:privateKey=/nowhere/key.pem",
            "ssl:443:privateKey=/nowhere/key.pem: No such file or directory: '/now",
        ),
    ],
)
def test_a_mistake(listen: str, said: str) -> None:
    """A mistake is answered with the endpoint and what is wrong with it, before anything starts."""
    assert mistake(listen).startswith(said)


def test_files_of_tls(tmp_path: Path) -> None:
    """Keys and certificates are read and compared, as long as nothing listens yet."""
    authority = Authority.make()
    authority.write(tmp_path)
    endpoint = f"ssl:443:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem"
    check_endpoints(load({"listen": endpoint}, {"API_KEY": "x"}))

    key = (tmp_path / "key.pem").read_bytes()
    authority.write(tmp_path)
    (tmp_path / "key.pem").write_bytes(key)
    assert f"{endpoint}: Certificate public and private keys do not match" == mistake(endpoint)
    (tmp_path / "key.pem").write_text("no key")
    assert mistake(endpoint).startswith(f"{endpoint}: a PEM file cannot be used: ")
