"""
The relay: a request to an OpenAI-compatible upstream and its answer back, byte for byte.

The request's bytes are never parsed and never written anew; of the head only what :mod:`claudeproxy.wire.headers` says
is changed. The answer's bytes go to the sink as they come in. Nothing is decoded on the way: a compressed answer stays
compressed, a stream of events keeps its spacing, its comments and its line ends.

Cancelling, a reader that leaves and a timer all end an exchange the same way: the upstream's connection is dropped at
once.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from hyperlink import URL
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.backends.openai.answer import RelayedAnswer
from claudeproxy.backends.openai.client import UpstreamClient
from claudeproxy.backends.openai.failures import UPSTREAM_FAILURES, from_failure, ran_out
from claudeproxy.backends.openai.models import UpstreamModels
from claudeproxy.backends.openai.request import Origin, UpstreamRequest
from claudeproxy.backends.openai.timers import Watch
from claudeproxy.config import UpstreamConfig
from claudeproxy.core.events import Usage
from claudeproxy.core.relay import RelayRequest
from claudeproxy.core.routing import BackendName
from claudeproxy.errors import (
    ClientKeyNotAllowed,
    InvalidHeaderValue,
    MethodNotSupported,
    PassthroughDisabled,
    PassthroughNotConfigured,
    UnknownURL,
)
from claudeproxy.interfaces import IByteSink, IRelay
from claudeproxy.wire.headers import request_headers

__all__ = ["OpenAIRelay"]

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""Methods that may be sent twice (RFC 9110, section 9.2.2)."""

_COMPUTES = frozenset({b"/chat/completions", b"/completions", b"/embeddings", b"/moderations"})
"""Paths whose POST creates nothing upstream, so that sending it again is harmless when nothing was answered."""

_NEVER_RELAYED = frozenset({b"TRACE", b"CONNECT"})
"""An upstream that traces would show our key to the client."""
_ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@implementer(IRelay)
class OpenAIRelay:
    """
    One upstream, as configured.
    """

    name = BackendName.UPSTREAM.value

    def __init__(self, clock: IReactorTime, client: UpstreamClient, config: UpstreamConfig) -> None:
        self._clock = clock
        self._client = client
        self._config = config
        base = URL.from_text(config.base_url)
        self._origin = Origin.of(base)
        self._netloc = self._origin.netloc
        self._prefix = "".join(f"/{segment}" for segment in base.path if segment).encode("ascii")
        self._models = UpstreamModels(clock, lambda sink: self.relay(RelayRequest(b"GET", b"/models", ()), sink))

    def relay(self, request: RelayRequest, sink: IByteSink) -> Deferred[Usage | None]:
        """
        Relay, as :meth:`claudeproxy.interfaces.IRelay.relay` says.
        """
        limits = self._config
        watch = Watch(self._clock, limits.request_timeout, min(limits.first_byte_timeout, limits.silence_timeout))
        relayed = ensureDeferred(self._relay(request, sink, watch))
        if not relayed.called:
            watch.start(relayed.cancel)
        return relayed

    def upstream_models(self) -> Deferred[tuple[dict[str, Any], ...]]:
        """
        The upstream's own list of models, as it wrote the entries; empty when there is none to be had. Never fails.
        """
        return self._models.get() if self.health() == "ok" else succeed(())

    def health(self) -> str:
        """
        ``ok``, ``no_key`` or ``disabled``; the upstream is not asked.
        """
        if not self._config.enabled:
            return "disabled"
        return "ok" if self._config.configured else "no_key"

    async def _relay(self, request: RelayRequest, sink: IByteSink, watch: Watch) -> Usage | None:
        outgoing = self._outgoing(request, watch)
        silence = self._config.silence_timeout
        answer = RelayedAnswer(sink, self._clock, watch, silence, wants_usage=request.tee_usage)
        try:
            await self._client.exchange(self._origin, outgoing, answer, replayable=_replayable(request))
        except CancelledError:
            if watch.expired is not None:
                raise ran_out(watch.expired, watch.limit) from None
            raise
        except UPSTREAM_FAILURES as error:
            raise from_failure(error, self._config.connect_timeout) from error
        finally:
            watch.stop()
            answer.over()
        return answer.usage()

    def _outgoing(self, request: RelayRequest, watch: Watch) -> UpstreamRequest:
        """
        What goes to the upstream for ``request``.
        """
        if request.method in _NEVER_RELAYED:
            raise MethodNotSupported("This method is not relayed.", headers=(("Allow", _ALLOW),))
        return UpstreamRequest(
            self._netloc,
            request.method,
            self._target(request.path),
            request_headers(request.headers, authorization=self._authorization(request), identity=request.tee_usage),
            request.body,
            on_write=lambda: watch.phase("first byte", self._config.first_byte_timeout),
        )

    def _authorization(self, request: RelayRequest) -> bytes | None:
        """
        The credentials for the upstream. A local server may need none; then none are sent.
        """
        config = self._config
        if not config.enabled:
            raise PassthroughDisabled("The passthrough is disabled (OPENAI_PASSTHROUGH_ENABLED).")
        key = request.client_key or None
        if key is not None and not config.allow_client_key:
            raise ClientKeyNotAllowed("This server does not take keys from its clients (X-OpenAI-API-Key).")
        if key is None and config.api_key is not None:
            key = config.api_key.value
        if key is None:
            if not config.base_url_given:
                raise PassthroughNotConfigured("No upstream is configured: set OPENAI_API_KEY or OPENAI_BASE_URL.")
            return None
        if not (key.isascii() and key.isprintable()):
            raise InvalidHeaderValue("An upstream key has printable ASCII characters only.")
        return b"Bearer " + key.encode("ascii")

    def _target(self, path: bytes) -> bytes:
        """
        Join the base URL's path and the request's, which may not climb out of it.
        """
        if b"/." in path or b"%" in path:
            segments = unquote_to_bytes(path.partition(b"?")[0]).replace(b"\\", b"/").split(b"/")
            if b"." in segments or b".." in segments:
                raise UnknownURL("The path has dot segments.")
        return self._prefix + path


def _replayable(request: RelayRequest) -> bool:
    """
    Whether to send the request a second time is harmless when the first was not answered (see ``client.py``).
    """
    return (
        request.method in _IDEMPOTENT
        or request.path.partition(b"?")[0] in _COMPUTES
        or any(name.lower() == b"idempotency-key" for name, _ in request.headers)
    )
