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
from functools import partial
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from claudeproxy.backends.openai.request import Origin
from claudeproxy.core.addresses import Destinations

__all__ = ["Guard", "PictureOrigin"]

_MOST_LOOKUPS = 6
"""Names that are looked up at once. Each takes one of the reactor's ten threads until the system gives up, and names of
a server that says nothing would soon have them all: nobody else could look up anything."""
_MOST_OF_ONE = 4
"""Of them for one tenant, so that the others have some left."""


@frozen(cache_hash=True)
class PictureOrigin(Origin):
    """
    Where a tenant's pictures come from; tenants share no connections.
    """

    tenant: str = ""


@define(eq=False)
class _Lookups:
    """
    The places for look-ups.
    """

    _all: DeferredSemaphore = field(init=False, factory=lambda: DeferredSemaphore(_MOST_LOOKUPS))
    _by_tenant: dict[str, DeferredSemaphore] = field(init=False, factory=dict)

    async def acquire(self, tenant: str) -> None:
        """
        Wait for a place.
        """
        await self._by_tenant.setdefault(tenant, DeferredSemaphore(_MOST_OF_ONE)).acquire()
        try:
            await self._all.acquire()
        except BaseException:
            self._release_own(tenant)
            raise

    def release(self, tenant: str) -> None:
        """
        Give a place back.
        """
        self._all.release()
        self._release_own(tenant)

    def _release_own(self, tenant: str) -> None:
        own = self._by_tenant[tenant]
        own.release()
        if own.tokens == own.limit:
            del self._by_tenant[tenant]


@implementer(IHostResolution)
@define(eq=False)
class _Resolution:
    """
    A name that is being looked up.
    """

    name: str
    _turn: Deferred[None]

    def cancel(self) -> None:
        """
        Do not wait any longer. What the system has been asked already, it will answer.
        """
        self._turn.cancel()


@implementer(IResolutionReceiver)
@define(eq=False)
class _Sieve:
    """
    Passes on the addresses that are admitted.
    """

    _log = Logger()

    _receiver: Any
    _host: str
    _destinations: Destinations
    _over: Callable[[], object]
    _ended: bool = field(init=False, default=False)

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
        if self._ended:
            return
        self._ended = True
        self._over()
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
@define(eq=False)
class _GuardedResolver:
    """
    Resolves the name of one connection to addresses that are admitted.
    """

    _log = Logger()

    _resolver: IHostnameResolver
    _destinations: Destinations
    _lookups: _Lookups
    _tenant: str
    _resolutions: list[_Resolution] = field(init=False, factory=list)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        turn = Deferred.fromCoroutine(self._lookups.acquire(self._tenant))
        resolution = _Resolution(hostName, turn)
        self._resolutions.append(resolution)
        resolutionReceiver.resolutionBegan(resolution)
        release = partial(self._lookups.release, self._tenant)
        sieve = _Sieve(resolutionReceiver, hostName, self._destinations, release)

        def begin(_: object) -> None:
            try:
                self._resolver.resolveHostName(sieve, hostName, portNumber, addressTypes, transportSemantics)
            except Exception:
                self._log.failure("The host of a linked picture could not be looked up.")
                # To the client it is a name without an address, and the next one has its turn.
                sieve.resolutionComplete()

        turn.addCallbacks(begin, lambda failure: failure.trap(CancelledError))
        return resolution

    def close(self) -> None:
        """
        Look up nothing more. The endpoint, which knows that nobody waits any longer, does not tell.
        """
        for resolution in self._resolutions:
            resolution.cancel()


@implementer(IReactorPluggableNameResolver)
class _GuardedReactor:
    """
    As much of a reactor as ``HostnameEndpoint`` needs; its names lead only where links may lead.
    """

    def __init__(self, reactor: Any, resolver: _GuardedResolver) -> None:
        self.nameResolver = resolver
        self.connectTCP = reactor.connectTCP
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """
        The guard stays.
        """
        raise NotImplementedError


@frozen(eq=False)
class Guard:
    """
    Makes the endpoints that lead only where links may lead.
    """

    _reactor: Any
    """Provides ``IReactorTCP``, ``IReactorTime`` and ``IReactorPluggableNameResolver``."""
    _destinations: Destinations
    _timeout: float
    """Seconds for one attempt to connect."""
    _lookups: _Lookups = field(init=False, factory=_Lookups)

    def endpoint(self, origin: Origin) -> IStreamClientEndpoint:
        """
        Return what connects to an origin, without TLS.
        """
        return _GuardedEndpoint(origin, self._connect)

    def _connect(self, origin: Origin, factory: IProtocolFactory) -> Deferred[IProtocol]:
        tenant = origin.tenant if isinstance(origin, PictureOrigin) else ""
        resolver = _GuardedResolver(self._reactor.nameResolver, self._destinations, self._lookups, tenant)
        reactor = _GuardedReactor(self._reactor, resolver)
        connecting = HostnameEndpoint(reactor, origin.host, origin.port, self._timeout).connect(factory)

        def ended(result: Any) -> Any:
            resolver.close()
            return result

        return connecting.addBoth(ended)


@implementer(IStreamClientEndpoint)
@frozen(eq=False)
class _GuardedEndpoint:
    """
    Has a resolver of its own for each connection, so that its look-up ends with it.
    """

    _origin: Origin
    _connect: Callable[[Origin, IProtocolFactory], Deferred[IProtocol]]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._connect(self._origin, protocolFactory)
