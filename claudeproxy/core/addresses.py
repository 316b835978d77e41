"""
Which addresses of the network a link of a client's may lead to.

Whoever can have a server fetch something can have it ask what only that server can reach: the router, the database, the
cloud's metadata. So only addresses of the public Internet are admitted, and only the ports that the web is served at.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from claudeproxy.core.proxies import Network

__all__ = ["Destination", "Destinations", "is_public"]

Destination = Network | str
"""A network of addresses, or a host's name in lower case."""

_WEB_PORTS = frozenset({80, 443})

# From IANA's registries of special-purpose addresses, but for one. Most of these Python's ``is_global`` knows as well,
# but which ones depends on its version.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by the customers of a provider
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's own of every machine there: what it serves it serves that machine alone
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # relays to 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_UNICAST = IPv6Network("2000::/3")
"""All that is assigned of the public Internet; loopback, private, local and multicast addresses are outside."""
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols, Teredo among them, which has an IPv4 address inside
            "2001:db8::/32",
            "2002::/16",  # 6to4, which has one too
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""How a network without IPv4 sees the IPv4 Internet (RFC 6052)."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """
    Whether an address is one of the public Internet's. One that has an IPv4 address inside is judged by that, where it
    is a way to that address which is in use; the ways of the past are not public.
    """
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped
        if embedded is None and address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is None:
            return address in _UNICAST and address.is_global and not any(address in each for each in _NOT_PUBLIC_6)
        address = embedded
    return address.is_global and not any(address in each for each in _NOT_PUBLIC_4)


class Destinations:
    """
    Where links may lead.
    """

    def __init__(self, allowed: Iterable[Destination] = ()) -> None:
        """
        :param allowed: what is admitted although it is not public, at any port: networks, and hosts whatever addresses
            their names have.
        """
        allowed = tuple(allowed)
        self._networks = tuple(each for each in allowed if not isinstance(each, str))
        self._hosts = frozenset(each for each in allowed if isinstance(each, str))

    def admits(self, host: str, address: str, port: int) -> bool:
        """
        Whether a connection may be made.

        :param host: the name that led to the address.
        :param address: an IP address, perhaps with the zone that it is local to.
        """
        if host.lower().rstrip(".") in self._hosts:
            return True
        try:
            # Addresses of a zone are never public, but a network that is allowed may be one.
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        if any((mapped or found) in network for network in self._networks):
            return True
        return port in _WEB_PORTS and is_public(found)
