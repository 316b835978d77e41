"""
Requests that go to the upstream as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.relay import Refusal, RelayRequest
from claudeproxy.core.routing import OPENAI, BackendName, Router
from claudeproxy.interfaces import IRelay
from claudeproxy.ops.drain import Drain
from claudeproxy.web.byte_sink import ByteSink
from claudeproxy.web.failures import no_such_url
from claudeproxy.web.request import ProxyRequest

__all__ = ["Passthrough", "has_own_key"]

_BODY_IN_MEMORY = 1024 * 1024
"""Bytes of a body beyond which it is relayed from its file."""

_OPENAI = frozenset(
    {
        b"assistants",
        b"audio",
        b"batches",
        b"chat",
        b"completions",
        b"containers",
        b"conversations",
        b"embeddings",
        b"evals",
        b"files",
        b"fine_tuning",
        b"images",
        b"models",
        b"moderations",
        b"organization",
        b"realtime",
        b"responses",
        b"threads",
        b"uploads",
        b"vector_stores",
        b"videos",
    }
)
"""
First segments of OpenAI's API. Everything below ``/v1`` goes to an upstream that there is; these names only say which
paths without ``/v1`` are meant for it, and for which, where there is none, that is the reason and not the URL.
"""


@frozen
class Passthrough:
    """
    The way of bytes from a client to an upstream and back.
    """

    _relays: Mapping[str, IRelay]
    """The upstreams by name."""
    _router: Router
    _drain: Drain
    _clock: IReactorTime
    _keepalive_interval: float

    def can_relay(self, request: ProxyRequest) -> bool:
        """
        Whether there is an upstream for what only an upstream can serve.
        """
        return self._router.can_relay(has_own_key(request))

    def check_path(self, request: ProxyRequest) -> None:
        """
        Check that an upstream may have a path that is not ours.

        :raises UnknownURL: nobody has it.
        """
        known = request.relayed_path[1:].partition(b"?")[0].partition(b"/")[0] in _OPENAI
        if not known and not (request.versioned and self.can_relay(request)):
            raise no_such_url(request)

    async def any_path(self, request: ProxyRequest, **variables: str) -> None:
        """
        Relay a request to a path, or with a method, that is not ours.
        """
        own_key = has_own_key(request)
        content = request.content
        length = content.seek(0, 2)
        content.seek(0)
        body = content if length > _BODY_IN_MEMORY else content.read()
        await self.relay(request, self._router.default_upstream(own_key), body)

    async def relay(
        self,
        request: ProxyRequest,
        upstream: str,
        body: bytes | BinaryIO,
        *,
        decoded: bool = False,
        tee_usage: bool = False,
        stream: bool = False,
        creates: bool = False,
        hands_over: bool = False,
    ) -> Refusal | None:
        """
        Relay a request with ``body``, bytes or a file, and write the whole answer.

        :param upstream: the name of the one to ask.
        :param decoded: whether ``body`` is no more in the content coding that the client says.
        :param creates: whether something stays upstream, so that it must not be sent twice.
        :param hands_over: return a refusal instead of writing it, for another backend stands by.
        """
        request.backend = BackendName.UPSTREAM
        request.upstream = upstream if len(self._relays) > 1 else ""
        sink = ByteSink(request, self._clock, self._keepalive_interval)
        outgoing = RelayRequest(
            method=request.method,
            path=request.relayed_path,
            headers=[
                (name, value)
                for name, values in request.requestHeaders.getAllRawHeaders()
                if not (decoded and name == b"Content-Encoding")
                for value in values
            ],
            body=body,
            client_key=_client_key(request) if upstream == OPENAI else None,
            tee_usage=tee_usage,
            stream=stream,
            creates=creates,
            hands_over=hands_over,
        )
        result = await self._drain.track(self._relays[upstream].relay(outgoing, sink))
        if isinstance(result, Refusal):
            return result
        request.usage = result
        sink.complete()
        return None

    def write(self, request: ProxyRequest, refusal: Refusal) -> None:
        """
        Write a refusal after all, since nobody did better.
        """
        sink = ByteSink(request, self._clock, self._keepalive_interval)
        refusal.write_to(sink)
        sink.complete()


def has_own_key(request: ProxyRequest) -> bool:
    """
    Whether the client brought a key for the upstream.
    """
    return _client_key(request) is not None


def _client_key(request: ProxyRequest) -> str | None:
    """
    Return the upstream key that the client brought, if any.
    """
    value = request.header(b"X-Openai-Api-Key")
    return value.decode("latin-1") if value else None
