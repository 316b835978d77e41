"""
Listening at endpoints: at all of them or at none, with certificates that can be renewed while the daemon runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import define, field, frozen
from OpenSSL import SSL, crypto
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
    IReactorSSL,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.config import SETTINGS, Config, ConfigError, Endpoint

__all__ = ["Listeners", "check_endpoints"]

_SHOWN: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What a client on this machine can use in the place of "any address"."""


def check_endpoints(config: Config) -> None:
    """
    Find mistakes in ``LISTEN`` without listening, among them certificates that are missing or do not fit.

    :raises ConfigError: about the first mistake.
    """
    for endpoint in config.server.listen:
        try:
            if endpoint.type == "ssl":
                _read_tls(endpoint)
            elif endpoint.type != "systemd":
                # What systemd hands over is there at the real start only.
                _endpoint(None, endpoint)
        except _BadEndpoint as error:
            raise _mistake(config, endpoint, error) from None


class _BadEndpoint(Exception):
    """
    Twisted makes nothing of an endpoint. The message is the reason.
    """


def _mistake(config: Config, endpoint: Endpoint, error: _BadEndpoint) -> ConfigError:
    reads_files = isinstance(error.__cause__, OSError | VerifyError | SSL.Error | crypto.Error)
    allowed = "" if reads_files else f"; must be {SETTINGS['LISTEN'].kind.allowed}"
    return ConfigError(f"LISTEN ({config.origin('LISTEN')}): {endpoint}: {error}{allowed}")


@define
class Listeners:
    """
    The daemon's open doors.
    """

    _log = Logger()

    _reactor: IReactorSSL
    _config: Config
    _open: list[tuple[Endpoint, IListeningPort]] = field(init=False, factory=list)
    _contexts: dict[Endpoint, _RenewableContext] = field(init=False, factory=dict)

    async def listen(self, factory: IProtocolFactory) -> tuple[str, ...]:
        """
        Listen at all endpoints, and return the URLs.

        :raises ConfigError: one of them cannot be had; then there is none.
        """
        server = self._config.server
        for endpoint in server.endpoints:
            try:
                self._open.append((endpoint, await self._listen(endpoint, factory)))
            except Exception as error:
                await self.stop()
                names = "LISTEN" if server.listen else "HOST, PORT"
                raise ConfigError(f"cannot listen at {endpoint} ({names}): {_reason(error)}") from None
        return tuple(_url(endpoint, port.getHost()) for endpoint, port in self._open)

    async def stop(self) -> None:
        """
        Let nobody in any more. What goes wrong with one, the log says; the others are closed all the same.
        """
        ports, self._open = self._open, []
        await gatherResults(
            [maybeDeferred(port.stopListening).addErrback(self._not_closed, endpoint) for endpoint, port in ports]
        )

    def _not_closed(self, failure: Failure, endpoint: Endpoint) -> None:
        # For example a unix socket whose file somebody has removed.
        reason = failure.getErrorMessage()
        self._log.warn("Listening at {endpoint} did not end well: {reason}", endpoint=str(endpoint), reason=reason)

    def renewal(self) -> Callable[[], None]:
        """
        Read the certificates and keys of the ``ssl`` endpoints again, and return what has new connections use them.

        :raises ConfigError: one of them cannot be used.
        """
        fresh = {}
        for endpoint in self._contexts:
            try:
                fresh[endpoint] = _read_tls(endpoint).context
            except _BadEndpoint as error:
                raise _mistake(self._config, endpoint, error) from None

        def renew() -> None:
            for endpoint, context in fresh.items():
                self._contexts[endpoint].current = context
                self._log.info("The certificate of {endpoint} was read again.", endpoint=str(endpoint))

        return renew

    async def _listen(self, endpoint: Endpoint, factory: IProtocolFactory) -> IListeningPort:
        if endpoint.type != "ssl":
            port: IListeningPort = await _endpoint(self._reactor, endpoint).listen(factory)
            return port
        tls = _read_tls(endpoint)
        context = self._contexts[endpoint] = _RenewableContext(tls.context)
        return self._reactor.listenSSL(tls.port, cast(Any, factory), context, tls.backlog, tls.interface)


def _endpoint(reactor: object, endpoint: Endpoint) -> IStreamServerEndpoint:
    try:
        made: IStreamServerEndpoint = serverFromString(reactor, endpoint.text)
    except Exception as error:
        # Parsers raise whatever comes to pass in them.
        raise _BadEndpoint(_reason(error)) from error
    return made


def _reason(error: Exception) -> str:
    """
    Say in one line why an endpoint cannot be had.
    """
    error = getattr(error, "socketError", None) or error
    match error:
        case OSError(strerror=str(said)):
            # A lock is a link, whose own name comes second.
            path = error.filename2 or error.filename
            return said if path is None else f"{said}: {os.fsdecode(path)!r}"
        case SSL.Error(args=[[*_, (*_, said)]]) | crypto.Error(args=[[*_, (*_, said)]]):
            return f"a PEM file cannot be used: {said}"
        case LookupError():
            return "systemd has handed over no such socket"
    # The parsers of Twisted are functions, whose names say nothing to an operator.
    return re.sub(r"^\w+\(\) ", "", str(error).partition("\n")[0].rstrip(".")) or type(error).__name__


def _url(endpoint: Endpoint, address: Any) -> str:
    """
    Return the URL of an address; that of a unix socket is made up.
    """
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", None)
        return str(endpoint) if name is None else f"unix:{name.decode()}"
    host = _SHOWN.get(host, host)
    return f"http{'s' if endpoint.has_tls else ''}://{f'[{host}]' if ':' in host else host}:{address.port}"


# -- Certificates -------------------------------------------------------------


@implementer(IOpenSSLContextFactory)
@define(eq=False)
class _RenewableContext:
    """
    Gives each new connection the TLS context of the moment.
    """

    current: IOpenSSLContextFactory

    def getContext(self) -> Any:
        """
        See ``IOpenSSLContextFactory``.
        """
        return self.current.getContext()


@frozen
class _TLS:
    """
    What an ``ssl`` endpoint says, its files read.
    """

    port: int
    context: IOpenSSLContextFactory
    backlog: int
    interface: str


@implementer(IReactorSSL)
@define(eq=False)
class _Reader:
    """
    Stands in the reactor's place, to hear how an ``ssl`` endpoint would listen. Twisted has no other way to ask it.
    """

    heard: _TLS | None = None

    def listenSSL(
        self, port: int, factory: object, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        See ``IReactorSSL``.
        """
        self.heard = _TLS(port, contextFactory, backlog, interface)
        return cast(IListeningPort, None)

    def connectSSL(self, *args: object, **kwargs: object) -> Any:
        """
        Nobody asks for it.
        """
        raise NotImplementedError


def _read_tls(endpoint: Endpoint) -> _TLS:
    """
    Read the key and the certificates of an ``ssl`` endpoint.
    """
    reader = _Reader()
    _endpoint(reader, endpoint).listen(cast(Any, Factory()))
    tls = reader.heard
    assert tls is not None
    try:
        # Only now it is seen whether the key is the certificate's.
        tls.context.getContext()
    except SSL.Error as error:
        raise _BadEndpoint(_reason(error)) from error
    return tls
