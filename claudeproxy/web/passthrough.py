"""
Requests that go to the upstream as they are.
"""

from __future__ import annotations

from typing import BinaryIO

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from claudeproxy.config import UpstreamConfig
from claudeproxy.core.relay import RelayRequest
from claudeproxy.core.routing import BackendName
from claudeproxy.errors import UnknownURL
from claudeproxy.interfaces import IRelay
from claudeproxy.ops.drain import Drain
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.sink import ByteSink

__all__ = ["Passthrough"]

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
    The way of bytes from a client to the upstream and back.
    """

    _relay: IRelay
    _upstream: UpstreamConfig
    _drain: Drain
    _clock: IReactorTime
    _keepalive_interval: float

    def can_serve(self, request: ProxyRequest) -> bool:
        """
        Whether there is an upstream for the request: the operator's, or OpenAI's with a key of the client's.
        """
        return self._upstream.configured or (self._upstream.enabled and _client_key(request) is not None)

    async def any_path(self, request: ProxyRequest, rest: str) -> None:
        """
        Relay a request to a path that is not ours.

        :raises UnknownURL: nobody has it.
        """
        known = request.relayed_path[1:].partition(b"?")[0].partition(b"/")[0] in _OPENAI
        if not known and not (request.versioned and self.can_serve(request)):
            raise UnknownURL(f"There is no {request.method.decode('ascii')} {request.path.decode('ascii')}.")
        content = request.content
        length = content.seek(0, 2)
        content.seek(0)
        await self.relay(request, content if length > _BODY_IN_MEMORY else content.read())

    async def relay(
        self, request: ProxyRequest, body: bytes | BinaryIO, *, tee_usage: bool = False, stream: bool = False
    ) -> None:
        """
        Relay a request with ``body``, bytes or a file, and write the whole answer.
        """
        request.backend = BackendName.UPSTREAM
        sink = ByteSink(request, self._clock, self._keepalive_interval)
        outgoing = RelayRequest(
            method=request.method,
            path=request.relayed_path,
            headers=[(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values],
            body=body,
            client_key=_client_key(request),
            tee_usage=tee_usage,
            stream=stream,
        )
        request.usage = await self._drain.track(self._relay.relay(outgoing, sink))
        sink.complete()


def _client_key(request: ProxyRequest) -> str | None:
    """
    Return the upstream key that the client brought, if any.
    """
    value = request.header(b"X-Openai-Api-Key")
    return value.decode("latin-1") if value else None
