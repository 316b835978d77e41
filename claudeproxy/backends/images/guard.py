"""
The guard between links of clients and the network that the daemon stands in.

What is checked is what is connected to: a name is resolved once for each connection, by the resolver of this module,
and an endpoint gets to see only those addresses that are admitted. So a name that has another address a moment later
leads nowhere else, and neither do the odd ways to write an address, all of which are names to the resolver.

A name without an address and one whose addresses are not admitted look the same: nobody is to learn which names there
are in the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

from claudeproxy.core.addresses import Destinations

__all__ = ["GuardedReactor"]

_MOST_LOOKUPS = 4
"""Names that are looked up at once. Each takes one of the reactor's ten threads until the system gives up, and names of
a server that says nothing would soon have them all: nobody else could look up anything."""


@implementer(IHostResolution)
@define(eq=False)
class _Resolution:
    """
    A name that is being looked up.
    """

    name: str

    def cancel(self) -> None:
        """
        What the system has been asked, it will answer.
        """


@implementer(IResolutionReceiver)
@frozen(eq=False)
class _Sieve:
    """
    Passes on the addresses that are admitted.
    """

    _log = Logger()

    _receiver: Any
    _host: str
    _destinations: Destinations
    _over: Callable[[], object]

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        The receiver has been told before.
        """

    def addressResolved(self, address: IAddress) -> None:
        assert isinstance(address, IPv4Address | IPv6Address)
        if self._destinations.admits(self._host, address.host, address.port):
            self._receiver.addressResolved(address)
        else:
            self._log.info(
                "A linked picture is not fetched from {address} port {port}: no public address, and not in "
                "IMAGE_FETCH_ALLOW.",
                address=address.host,
                port=address.port,
            )

    def resolutionComplete(self) -> None:
        self._over()
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
@define(eq=False)
class _GuardedResolver:
    """
    Resolves names to addresses that are admitted.
    """

    _resolver: Callable[[], IHostnameResolver]
    _destinations: Destinations
    _lookups: DeferredSemaphore = field(init=False, factory=lambda: DeferredSemaphore(_MOST_LOOKUPS))

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        sieve = _Sieve(resolutionReceiver, hostName, self._destinations, self._lookups.release)

        def begin(_: object) -> None:
            self._resolver().resolveHostName(sieve, hostName, portNumber, addressTypes, transportSemantics)

        self._lookups.acquire().addCallback(begin)
        return resolution


@implementer(IReactorPluggableNameResolver)
class GuardedReactor:
    """
    As much of a reactor as ``HostnameEndpoint`` needs; its names lead only where links may lead.
    """

    def __init__(self, reactor: Any, destinations: Destinations) -> None:
        """
        :param reactor: provides ``IReactorTCP``, ``IReactorTime`` and ``IReactorPluggableNameResolver``.
        """
        self.nameResolver = _GuardedResolver(lambda: reactor.nameResolver, destinations)
        self.connectTCP = reactor.connectTCP
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """
        The guard stays.
        """
        raise NotImplementedError
