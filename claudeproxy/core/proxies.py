"""
Whose address a request comes from, when reverse proxies stand in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Network", "TrustedProxies"]

Network = IPv4Network | IPv6Network

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

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def client(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """
        Return the address of the client: the last one that is no trusted proxy's.

        :param peer: the address that is connected; empty where it has none.
        :param forwarded: the values of ``X-Forwarded-For``.
        """
        if peer.startswith(_MAPPED):
            peer = peer[len(_MAPPED) :]
        if not self._networks or not forwarded:
            return peer
        address = _address(peer.encode("ascii"))
        client = peer
        hops = b",".join(forwarded).split(b",")
        while hops and address is not None and self._is_trusted(address):
            # A hop that is no address was written by a trusted proxy all the same: that proxy is all we know.
            client = str(address)
            hop = hops.pop().strip()
            address = _address(hop) if len(hop) <= _LONGEST else None
        return client if address is None else str(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


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
