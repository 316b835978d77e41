"""
Where links may lead.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.addresses import Destinations, is_public

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "168.63.129.15",
    "172.32.0.1",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450::1",
)

PRIVATE = (
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # Azure's
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "64:ff9b:1::a00:1",
    "::ffff:0:7f00:1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo, of 10.0.0.1
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet(address: str) -> None:
    """What everybody can reach, links may lead to."""
    assert is_public(ip_address(address))
    assert Destinations().admits("example.com", address, 443)


@pytest.mark.parametrize("address", PRIVATE)
def test_everything_else(address: str) -> None:
    """Loopback, private, shared, local, multicast, reserved and unspecified addresses, and the ways of the past."""
    assert not is_public(ip_address(address))
    assert not Destinations().admits("example.com", address, 443)


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}"])
def test_an_address_within_an_address(form: str) -> None:
    """An IPv4 address inside of an IPv6 one that leads to it decides."""
    for inner in (*PUBLIC[:5], *PRIVATE[:20]):
        assert is_public(ip_address(form.format(inner))) == (inner in PUBLIC)


@given(st.integers(0, 2**32 - 1))
def test_every_ipv4_address_is_judged_alike_in_all_its_forms(number: int) -> None:
    """Whatever the address, mapped or translated it is no more public than by itself, and never a multicast one."""
    plain = IPv4Address(number)
    public = is_public(plain)

    for base in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(IPv6Address(int(IPv6Address(base)) + number)) == public
    assert not is_public(IPv6Address(int(IPv6Address("2002::")) + (number << 80)))
    if public:
        assert not (plain.is_private or plain.is_multicast or plain.is_reserved or plain.is_loopback)


@given(st.integers(0, 2**128 - 1))
def test_public_ipv6_addresses_are_unicast(number: int) -> None:
    """Of IPv6, only what is assigned for the Internet is public."""
    address = IPv6Address(number)

    if is_public(address) and address.ipv4_mapped is None and address not in ip_network("64:ff9b::/96"):
        assert address in ip_network("2000::/3")
        assert not (address.is_private or address.is_multicast or address.is_link_local or address.is_site_local)


@pytest.mark.parametrize("port", [0, 22, 25, 8080, 8443, 65535])
def test_only_the_ports_of_the_web(port: int) -> None:
    """A public host is asked where the web is served, and nowhere else."""
    assert not Destinations().admits("example.com", "8.8.8.8", port)


def test_what_the_operator_allows() -> None:
    """Networks, also when an address of theirs is written as IPv6, and hosts by name, at any port."""
    allowed = Destinations([ip_network("10.1.0.0/16"), ip_network("fd00::/8"), "pics.internal"])

    assert allowed.admits("x", "10.1.2.3", 8080)
    assert allowed.admits("x", "::ffff:10.1.2.3", 8080)
    assert allowed.admits("x", "fd00::1", 1)
    assert allowed.admits("Pics.Internal.", "192.168.0.1", 9000)
    assert not allowed.admits("x", "10.2.0.1", 80)
    assert not allowed.admits("other.pics.internal", "192.168.0.1", 80)
    assert not allowed.admits("x", "::ffff:10.2.0.1", 80)
    assert allowed.admits("x", "8.8.8.8", 80)


@pytest.mark.parametrize("address", ["", "localhost", "fe80::1%eth0", "::1%1", "0x7f.1", "017700000001", "1"])
def test_what_is_no_address_is_not_admitted(address: str) -> None:
    """Odd spellings never pass: an address is what the system connects to."""
    assert not Destinations().admits("example.com", address, 80)
