"""
Whose address a request comes from.
"""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from claudeproxy.core.proxies import TrustedProxies

TRUSTED = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [b"1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", [b"9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", [b"9.9.9.9, 1.2.3.4 , 10.1.1.1"], "1.2.3.4"),
        ("127.0.0.1", [b"9.9.9.9", b"1.2.3.4", b"10.1.1.1"], "1.2.3.4"),
        ("127.0.0.1", [b"10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ("127.0.0.1", [b"1.2.3.4:5678"], "1.2.3.4"),
        ("127.0.0.1", [b"[2001:DB8::1]:5678"], "2001:db8::1"),
        ("127.0.0.1", [b"2001:db8:0::1"], "2001:db8::1"),
        ("fd00::1", [b"::ffff:1.2.3.4"], "1.2.3.4"),
        ("::ffff:127.0.0.1", [b"1.2.3.4"], "1.2.3.4"),
        ("::ffff:1.2.3.4", [], "1.2.3.4"),
        ("127.0.0.1", [b"1.2.3.4, unknown"], "127.0.0.1"),
        ("127.0.0.1", [b"1.2.3.4, \xff, 10.1.1.1"], "10.1.1.1"),
        ("127.0.0.1", [b"1.2.3.4, " + b"1" * 5000], "127.0.0.1"),
        ("127.0.0.1", [b""], "127.0.0.1"),
        ("127.0.0.2", [b"1.2.3.4"], "127.0.0.2"),
        ("5.5.5.5", [b"1.2.3.4, 10.1.1.1"], "5.5.5.5"),
        ("", [b"1.2.3.4"], ""),
    ],
)
def test_the_last_address_that_is_not_trusted(peer: str, forwarded: list[bytes], client: str) -> None:
    """Only trusted proxies are believed, and only as far as they wrote the list."""
    assert client == TRUSTED.client(peer, forwarded)


def test_nobody_is_trusted() -> None:
    """Without trusted proxies the peer is the client, whatever it says."""
    assert TrustedProxies().client("127.0.0.1", [b"1.2.3.4"]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], ""),
        ([b"1.2.3.4"], "1.2.3.4"),
        ([b"9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        ([b"1.2.3.4, 10.1.1.1"], "1.2.3.4"),
        ([b"1.2.3.4, unix:"], ""),
    ],
)
def test_a_proxy_at_a_unix_socket(forwarded: list[bytes], client: str) -> None:
    """Where a unix socket is trusted, whoever is connected to it is believed like a proxy that has an address."""
    proxies = TrustedProxies(["unix", ip_network("10.0.0.0/8")])

    assert client == proxies.client("", forwarded)
    assert "5.5.5.5" == proxies.client("5.5.5.5", forwarded)
    assert "" == TrustedProxies(["unix"]).client("", [])
