"""
The HTTP client: connections to upstreams, kept and used again.

Twisted's ``Agent`` with its pool, and treq above it, take more than twice the CPU of what is here (see ``benchmarks``),
keep two connections per host and retry out of sight. TLS always verifies; there is no switch.

When a request is sent again
    An upstream may close a connection that was idle for too long in the very moment in which the next request goes out
    on it. Such a request was not answered, and nobody can tell whether it was read. It is sent once more, on a fresh
    connection, when all of this holds: the first connection had been used before; not one byte of an answer came; and
    the request is *replayable*, which its sender decides (see ``relay.py``). All else fails with a connection error, as
    it must: an upload or a batch that was created twice is worse than an error. Two things make the case rare: a kept
    connection is closed here after a short idle time, and one that was idle for more than a moment is not used when its
    socket has something to read, which is the upstream's goodbye.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TypeVar, cast

from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure

from claudeproxy.backends.openai.connection import Connection, Exchange, NoAnswer, Receiver
from claudeproxy.backends.openai.request import Origin, UpstreamRequest

__all__ = ["UpstreamClient", "hostname_endpoints", "secured"]

_TRUSTED_FOR = 1.0
"""Seconds for which an idle connection's socket is not looked at again: it takes a system call, and who closes idle
connections waits for longer than that."""

_MOST_CREATORS = 64
"""Hosts whose TLS options are kept."""

T = TypeVar("T")


def hostname_endpoints(
    reactor: object, timeout: float, trust_root: IOpenSSLTrustRoot | None = None
) -> Callable[[Origin], IStreamClientEndpoint]:
    """
    How origins are connected to: by name, either address family, TLS with verification where the origin is secure.

    :param reactor: provides ``IReactorTCP``, ``IReactorTime`` and ``IReactorPluggableNameResolver``.
    :param timeout: seconds for one attempt to connect.
    :param trust_root: the authorities to trust; None means the platform's.
    """
    return secured(lambda origin: HostnameEndpoint(reactor, origin.host, origin.port, timeout), trust_root)


def secured(
    plain: Callable[[Origin], IStreamClientEndpoint], trust_root: IOpenSSLTrustRoot | None = None
) -> Callable[[Origin], IStreamClientEndpoint]:
    """
    How origins are connected to where TLS, with verification, is put upon endpoints without it.

    :param trust_root: the authorities to trust; None means the platform's.
    """

    @lru_cache(_MOST_CREATORS)  # made once: it reads all authorities
    def creator_for(host: str) -> IOpenSSLClientConnectionCreator:
        return optionsForClientTLS(host, trust_root)

    def endpoint_for(origin: Origin) -> IStreamClientEndpoint:
        endpoint = plain(origin)
        if not origin.secure:
            return endpoint
        return wrapClientTLS(creator_for(origin.host), endpoint)

    return endpoint_for


class UpstreamClient:
    """
    Sends requests over kept connections; one pool for all origins.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        endpoints: Callable[[Origin], IStreamClientEndpoint],
        *,
        connect_timeout: float = 10.0,
        idle_timeout: float = 30.0,
        max_idle: int = 256,
    ) -> None:
        """
        :param connect_timeout: seconds until a connection must be up: name resolution, all attempts and TLS together.
        :param idle_timeout: seconds after which a connection that nobody used is closed.
        :param max_idle: connections to one origin that are kept at most.
        """
        self._clock = clock
        self._endpoints = endpoints
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._max_idle = max_idle
        self._idle: dict[Origin, deque[tuple[float, Connection]]] = {}
        self._open: set[Connection] = set()
        self._sweeper: IDelayedCall | None = None
        self._closing: Deferred[None] | None = None
        self._factory = Factory.forProtocol(self._made)
        self._factory.noisy = False

    def exchange(
        self, origin: Origin, request: UpstreamRequest, receiver: Receiver, *, replayable: bool
    ) -> Deferred[None]:
        """
        Send ``request`` on a kept connection, or on a new one, and its answer to ``receiver``.

        Returns a Deferred that fires when the answer is complete. It fails with an error of connecting, with
        ``twisted.internet.defer.TimeoutError`` when no connection came up in time, and as
        :attr:`~claudeproxy.backends.openai.connection.Exchange.done` does. Cancelling it drops the connection at once.

        :param replayable: whether to send the request again is harmless when it was not answered.
        """
        connection = self._take(origin)
        if connection is None:
            return ensureDeferred(self._on_fresh(origin, request, receiver))
        done = Exchange(connection, request, receiver, partial(self._keep, origin)).start()
        if replayable:
            done.addErrback(self._again, origin, request, receiver)
        return done

    def close(self) -> Deferred[None]:
        """
        Drop every connection, those in use too, and keep none from now on. Fires when all are gone.
        """
        if self._closing is None:
            self._closing = Deferred()
            self._idle.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
            for connection in list(self._open):
                connection.drop()
            self._all_gone()
        done: Deferred[None] = Deferred()
        self._closing.chainDeferred(done)
        return done

    @property
    def idle_connections(self) -> int:
        """
        How many connections are kept for later.
        """
        return sum(connection.lost is None for kept in self._idle.values() for _, connection in kept)

    @property
    def busy_connections(self) -> int:
        """
        How many connections serve a request.
        """
        return sum(connection.exchange is not None for connection in self._open)

    def _take(self, origin: Origin) -> Connection | None:
        """
        The connection that was used last, so that those we do not need grow old and go.
        """
        kept = self._idle.get(origin)
        while kept:
            since, connection = kept.pop()
            if connection.usable(thoroughly=abs(self._clock.seconds() - since) > _TRUSTED_FOR):
                return connection
            connection.drop()
        return None

    async def _on_fresh(self, origin: Origin, request: UpstreamRequest, receiver: Receiver) -> None:
        connecting = ensureDeferred(self._connect(origin)).addTimeout(self._connect_timeout, self._clock)
        connection = await connecting
        await Exchange(connection, request, receiver, partial(self._keep, origin)).start()

    async def _connect(self, origin: Origin) -> Connection:
        connecting = self._endpoints(origin).connect(self._factory)
        connection = cast(Connection, await _cancelled_as_such(connecting))
        if origin.secure:
            await connection.secured()
        return connection

    def _again(
        self, failure: Failure, origin: Origin, request: UpstreamRequest, receiver: Receiver
    ) -> Failure | Deferred[None]:
        if not isinstance(failure.value, NoAnswer):
            return failure
        self._log.info("The upstream closed a kept connection; the request is sent once more on a fresh one.")
        return ensureDeferred(self._on_fresh(origin, request, receiver))

    def _made(self) -> Connection:
        connection = Connection(self._lost)
        self._open.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._all_gone()

    def _all_gone(self) -> None:
        if self._closing is not None and not self._open and not self._closing.called:
            self._closing.callback(None)

    def _keep(self, origin: Origin, connection: Connection) -> None:
        """
        An answer is complete; its connection may serve another request.
        """
        kept = self._idle.get(origin)
        if kept is None:
            kept = self._idle[origin] = deque()
        if self._closing is not None or len(kept) >= self._max_idle:
            connection.drop()
            return
        kept.append((self._clock.seconds(), connection))
        if self._sweeper is None:
            self._sweeper = self._clock.callLater(self._idle_timeout, self._sweep)

    def _sweep(self) -> None:
        """
        Close what nobody used for too long; the oldest are on the left.
        """
        self._sweeper = None
        now = self._clock.seconds()
        oldest: float | None = None
        for origin, kept in list(self._idle.items()):
            while kept and (now - kept[0][0] >= self._idle_timeout or kept[0][1].lost is not None):
                kept.popleft()[1].close()
            if kept:
                oldest = kept[0][0] if oldest is None else min(oldest, kept[0][0])
            else:
                del self._idle[origin]
        if oldest is not None:
            self._sweeper = self._clock.callLater(max(0.0, oldest + self._idle_timeout - now), self._sweep)


def _cancelled_as_such(deferred: Deferred[T]) -> Deferred[T]:
    """
    Return a Deferred with the same outcome that, when it is cancelled, fails with ``CancelledError``: an endpoint fails
    with whatever error its attempts had so far, or with a lookup error when they had none.
    """
    wanted = True

    def cancel(_: object) -> None:
        nonlocal wanted
        wanted = False
        deferred.cancel()

    outcome: Deferred[T] = Deferred(cancel)
    deferred.addBoth(lambda result: outcome.callback(result) if wanted else None)
    return outcome
