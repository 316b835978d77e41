"""
Whose address a request comes from, when reverse proxies stand in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["UNIX", "Network", "Proxy", "TrustedProxies"]

Network = IPv4Network | IPv6Network
Proxy = Network | str
"""A network of addresses, or :data:`UNIX`."""

UNIX = "unix"
"""Whoever is connected to a unix socket of the daemon's."""

_MAPPED = "::ffff:"
"""How a socket for both families begins the address of an IPv4 peer."""

_LONGEST = 60
"""Characters of an address with brackets and port."""


class TrustedProxies:
    """
    The reverse proxies whose word about their clients is taken.

    Each proxy on the way appends to ``X-Forwarded-For`` the address that it was connected from, so the list is true as
    far as trusted proxies wrote it, from its end; what stands before that a client can have made up.
    """

    def __init__(self, proxies: Sequence[Proxy] = ()) -> None:
        self._networks = tuple(proxy for proxy in proxies if not isinstance(proxy, str))
        self._trusts_sockets = UNIX in proxies

    def client(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """
        Return the address of the client: the last one that is no trusted proxy's.

        :param peer: the address that is connected; empty for a unix socket, which has none.
        :param forwarded: the values of ``X-Forwarded-For``.
        """
        if peer.startswith(_MAPPED):
            peer = peer[len(_MAPPED) :]
        if not forwarded or not (self._networks or self._trusts_sockets):
            return peer
        hops = b",".join(forwarded).split(b",")
        is_trusted_socket = not peer and self._trusts_sockets
        address = _hop(hops.pop()) if is_trusted_socket else _address(peer.encode("ascii"))
        client = peer
        while hops and address is not None and self._is_trusted(address):
            # A hop that is no address was written by a trusted proxy all the same: that proxy is all we know.
            client = str(address)
            address = _hop(hops.pop())
        return client if address is None else str(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _hop(text: bytes) -> IPv4Address | IPv6Address | None:
    hop = text.strip()
    return _address(hop) if len(hop) <= _LONGEST else None


@lru_cache(1024)
def _address(text: bytes) -> IPv4Address | IPv6Address | None:
    """
    Read an address, with or without a port, as proxies write it.
    """
    host = text.decode("latin-1")
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
