"""
The way into the URL map, which no route can take without saying who may use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen
from klein import Klein
from werkzeug.exceptions import HTTPException

from claudeproxy.errors import ClaudeProxyError, InvalidAPIKey, MethodNotSupported, ServerShuttingDown
from claudeproxy.interfaces import IKeyStore
from claudeproxy.ops.admission import Admission
from claudeproxy.ops.drain import Drain
from claudeproxy.web.auth import authenticate
from claudeproxy.web.cors import CrossOrigin
from claudeproxy.web.failures import answer_failure, no_such_url
from claudeproxy.web.request import ProxyRequest

__all__ = ["Handler", "Routes"]

Handler = Callable[..., Awaitable[bytes | None]]
"""Called with the request and the path's variables; returns a body for Klein to send, or None when all is written."""

_SESSION_ID_LENGTH = 36

_ALL_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@frozen
class _Route:
    """
    One path, and who may use it with which methods.
    """

    path: str
    _handlers: Mapping[bytes, Handler]
    _let_in: Callable[[ProxyRequest], None]
    _any_method: Handler | None = None
    _where: Callable[[ProxyRequest], bool] = lambda request: True
    _precondition: Callable[[ProxyRequest], None] = lambda request: None

    def allow(self, request: ProxyRequest) -> bytes:
        """
        Return the methods that the path has for a request, comma-separated.
        """
        return b", ".join((*self._handlers, b"OPTIONS")) if self._others(request) is None else _ALL_METHODS

    def admit(self, request: ProxyRequest) -> None:
        """
        Let a request in, once.

        :raises ClaudeProxyError: it is turned away.
        """
        if request.admitted or request.method == b"OPTIONS":
            return
        self._let_in(request)
        self.handler(request)
        self._precondition(request)
        request.admitted = True

    def handler(self, request: ProxyRequest) -> Handler:
        """
        Return what serves a request.

        :raises MethodNotSupported: nothing does.
        """
        handler = self._handlers.get(request.method, self._others(request))
        if handler is None:
            raise _not_supported(request.method, self.allow(request))
        return handler

    def _others(self, request: ProxyRequest) -> Handler | None:
        return self._any_method if self._any_method is not None and self._where(request) else None


class Routes:
    """
    Klein's routes, added by :meth:`public` and :meth:`authorized` and by nothing else.

    A route answers ``HEAD`` where it answers ``GET``, ``OPTIONS`` always and without a key, and 405 to methods that it
    does not have, unless an upstream may have them: a path of ours never falls through to a more general route.
    """

    def __init__(self, keys: IKeyStore, admission: Admission, drain: Drain, cross_origin: CrossOrigin) -> None:
        self.klein = Klein()
        self.klein.handle_errors(Exception)(answer_failure)  # type: ignore[arg-type]  # our requests, not any
        self.public_paths: set[str] = set()
        """The paths that anyone may use."""
        self._keys = keys
        self._admission = admission
        self._drain = drain
        self._cross_origin = cross_origin
        self._routes: dict[str, _Route] = {}
        """By their paths, which are Klein's endpoints."""
        self._paths = self.klein.url_map.bind("localhost")

    def public(self, path: str, **methods: Handler) -> None:
        """
        Add a route for anyone, also while the daemon drains.

        :param methods: the handlers by method: ``GET=self.index``.
        """
        self.public_paths.add(path)
        self._add(_Route(path, _by_name(methods), lambda request: None))

    def authorized(
        self,
        path: str,
        any_method: Handler | None = None,
        where: Callable[[ProxyRequest], bool] = lambda request: True,
        precondition: Callable[[ProxyRequest], None] = lambda request: None,
        **methods: Handler,
    ) -> None:
        """
        Add a route for holders of a key, whose policy the request then has, within the limits.

        :param any_method: serves the methods that are not among ``methods``.
        :param where: whether it does for this request.
        :param precondition: raises a ``ClaudeProxyError`` for a request that the route does not serve at all.
        """
        self._add(_Route(path, _by_name(methods), self._let_in, any_method, where, precondition))

    def admit(self, request: ProxyRequest) -> None:
        """
        Let a request in, or turn it away, by its head alone: its body has not come.

        :raises ClaudeProxyError: it is turned away.
        """
        path = b"/" + b"/".join(request.postpath or ())
        try:
            endpoint, _ = self._paths.match(path.decode("utf-8", "replace"), method="GET")
        except HTTPException:
            raise no_such_url(request) from None
        self._routes[endpoint].admit(request)

    def _add(self, route: _Route) -> None:
        self._routes[route.path] = route

        @self.klein.route(route.path, endpoint=route.path)
        def serve(request: ProxyRequest, **variables: str) -> Awaitable[bytes | None] | bytes:
            # Klein hands what this raises, and what its result fails with, to answer_failure.
            if request.method == b"OPTIONS":
                return self._cross_origin.answer_options(request, route.allow(request))
            route.admit(request)
            return route.handler(request)(request, **variables)

        self._paths = self.klein.url_map.bind("localhost")

    def _let_in(self, request: ProxyRequest) -> None:
        """
        Turn away whoever has no key, everybody while the daemon drains, and who has asked for too much.

        What a request is given here it gives back itself when it is over.
        """
        session_id = _session_id(request)
        try:
            self._authenticate(request)
            if self._drain.draining:
                raise ServerShuttingDown("The server is shutting down.")
            request.ticket = ticket = self._admission.admit(request.key.key_id, request.address, session_id)
        except ClaudeProxyError:
            request.tell_limits(self._admission.standing(request.key.key_id, request.address, session_id))
            raise
        request.tell_limits(ticket.standing)

    def _authenticate(self, request: ProxyRequest) -> None:
        try:
            request.key = authenticate(request, self._keys, self._cross_origin)
        except InvalidAPIKey:
            self._admission.turned_away(request.address)
            raise


def _by_name(methods: Mapping[str, Handler]) -> dict[bytes, Handler]:
    handlers = {name.encode("ascii"): handler for name, handler in methods.items()}
    if b"GET" in handlers:
        handlers.setdefault(b"HEAD", handlers[b"GET"])
    return handlers


def _session_id(request: ProxyRequest) -> str | None:
    """
    Return the session that a request names, for its limit; what cannot be one is refused later, or nobody's business.
    """
    value = request.session_header()
    return value.lower() if value is not None and len(value) == _SESSION_ID_LENGTH else None


def _not_supported(method: bytes, allow: bytes) -> MethodNotSupported:
    allowed = allow.decode("ascii")
    return MethodNotSupported(
        f"This URL does not support {method.decode('ascii')}, only {allowed}.", headers=(("Allow", allowed),)
    )
