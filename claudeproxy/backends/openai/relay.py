"""
The relay: a request to an OpenAI-compatible upstream and its answer back, byte for byte.

The request's bytes are never parsed and never written anew; of the head only what :mod:`claudeproxy.wire.headers` says
is changed. The answer's bytes go to the sink as they come in. Nothing is decoded on the way: a compressed answer stays
compressed, a stream of events keeps its spacing, its comments and its line ends.

Cancelling, a reader that leaves and a timer all end an exchange the same way: the upstream's connection is dropped at
once.

Another try is possible as long as the sink's reader has been sent nothing. An answer that asks for one is recognised by
its head, and is kept only if there will be one, here (:mod:`~claudeproxy.backends.openai.tries`) or at another backend;
every other answer goes its way as if there were no tries.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import random as random_number
from typing import Any
from urllib.parse import unquote_to_bytes

from hyperlink import URL
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from claudeproxy.backends.openai.answer import RelayedAnswer, SilenceLimits
from claudeproxy.backends.openai.client import UpstreamClient
from claudeproxy.backends.openai.failures import UPSTREAM_FAILURES, from_failure, ran_out
from claudeproxy.backends.openai.models import UpstreamModels
from claudeproxy.backends.openai.request import Origin, UpstreamRequest
from claudeproxy.backends.openai.timers import Watch
from claudeproxy.backends.openai.tries import Replayable, Tries
from claudeproxy.config import UpstreamConfig
from claudeproxy.core.breaker import Breaker
from claudeproxy.core.events import Usage
from claudeproxy.core.health import UpstreamHealth
from claudeproxy.core.relay import Refusal, RelayRequest
from claudeproxy.core.routing import OPENAI, BackendName
from claudeproxy.errors import (
    BackendAuthFailed,
    BackendUnavailable,
    ClaudeProxyError,
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

_INFERS = _COMPUTES | {b"/responses", b"/messages"}
"""Paths whose POST asks a model: how they are answered says how the upstream is."""

_NEVER_RELAYED = frozenset({b"TRACE", b"CONNECT"})
"""An upstream that traces would show our key to the client."""
_ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@implementer(IRelay)
class OpenAIRelay:
    """
    One upstream, as configured.
    """

    name = BackendName.UPSTREAM.value

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        client: UpstreamClient,
        config: UpstreamConfig,
        random: Callable[[], float] = random_number,
    ) -> None:
        """
        :param random: gives numbers from 0 to 1, for the waits between tries.
        """
        self._random = random
        self._breaker = Breaker(config.breaker_failures, config.breaker_pause)
        self._clock = clock
        self._client = client
        self._config = config
        base = URL.from_text(config.base_url)
        self._origin = Origin.of(base)
        self._netloc = self._origin.netloc
        self._prefix = "".join(f"/{segment}" for segment in base.path if segment).encode("ascii")
        models = RelayRequest(b"GET", b"/models", ())
        self._models = UpstreamModels(config.name, clock, lambda sink: self._started(models, sink, None))

    def relay(self, request: RelayRequest, sink: IByteSink) -> Deferred[Usage | Refusal | None]:
        """
        Relay, as :meth:`claudeproxy.interfaces.IRelay.relay` says.
        """
        # What comes of a client's own key says nothing to the other clients.
        return self._started(request, sink, None if request.client_key else self._breaker)

    def upstream_models(self) -> Deferred[tuple[dict[str, Any], ...]]:
        """
        The upstream's own list of models, as it wrote the entries; empty when there is none to be had. Never fails.
        """
        return self._models.get() if self._config.configured else succeed(())

    def health(self) -> UpstreamHealth:
        """
        How it is now; the upstream is not asked.
        """
        status = "disabled" if not self._config.enabled else "ok" if self._config.configured else "no_key"
        return UpstreamHealth(status, self._breaker.state(self._clock.seconds()).value, self._breaker.failures)

    def _started(
        self, request: RelayRequest, sink: IByteSink, breaker: Breaker | None
    ) -> Deferred[Usage | Refusal | None]:
        """
        Begin to relay.

        :param breaker: the one that the request concerns, if any.
        """
        limits = self._config
        shortest = min(limits.first_byte_timeout, limits.silence_timeout)
        watch = Watch(self._clock, limits.request_timeout, shortest, limits.request_total_timeout or inf)
        relayed = ensureDeferred(self._relay(request, sink, watch, breaker))
        if not relayed.called:
            watch.start(relayed.cancel)
        return relayed

    async def _relay(
        self, request: RelayRequest, sink: IByteSink, watch: Watch, breaker: Breaker | None
    ) -> Usage | Refusal | None:
        path = request.path.partition(b"?")[0]
        harmless = request.method in _IDEMPOTENT or (path in _COMPUTES and not request.creates)
        replayable = Replayable(harmless or _has_idempotency_key(request), harmless)
        infers = request.method == b"POST" and path in _INFERS
        tries = Tries(
            self._clock,
            self._config,
            breaker,
            self._random,
            watch,
            replayable,
            infers,
            hides_401=not request.client_key,
            hands_over=request.hands_over,
        )
        outgoing = self._outgoing(request, tries)
        most = self._config.request_timeout
        limits = SilenceLimits(min(self._config.silence_timeout, most), most)
        outcome: Refusal | ClaudeProxyError | None = None
        try:
            while tries.begin():
                sink.trying()
                answer = RelayedAnswer(
                    sink,
                    self._clock,
                    watch,
                    limits,
                    tries.keeps,
                    key=None if self._config.api_key is None else self._config.api_key.value,
                    wants_usage=request.tee_usage,
                )
                try:
                    await self._client.exchange(self._origin, outgoing, answer, replayable=replayable.unanswered)
                    if answer.kept is None:
                        return answer.usage()
                    if answer.kept.final:
                        answer.kept.refusal().write_to(sink)
                        return None
                    outcome = self._unauthorized() if answer.kept.status == 401 else answer.kept.refusal()
                except (CancelledError, ClaudeProxyError, *UPSTREAM_FAILURES) as error:
                    outcome = self._understood(error, answer, watch)
                    tries.failed(outcome)
                    if sink.begun:
                        raise outcome from outcome.__cause__
                finally:
                    answer.over()
                if tries.wait is None:
                    break
                self._tell(outcome, tries.wait)
                watch.rest()
                await deferLater(self._clock, tries.wait)
        finally:
            tries.over()
            watch.stop()
        if isinstance(outcome, Refusal):
            if request.hands_over:
                return outcome
            outcome.write_to(sink)
            return None
        raise outcome or self._unavailable()

    def _understood(self, error: Exception, answer: RelayedAnswer, watch: Watch) -> ClaudeProxyError:
        """
        What the failure of a try is to a client.

        :raises CancelledError: nobody waits any more.
        """
        if isinstance(error, ClaudeProxyError):
            return error
        if not isinstance(error, CancelledError):
            understood = from_failure(error, self._config.connect_timeout)
        elif watch.expired is not None:
            understood = ran_out(watch.expired, watch.limit)
        elif answer.kept is not None and answer.kept.was_cut:
            hidden = answer.kept.status == 401 and not answer.kept.final
            understood = self._unauthorized() if hidden else answer.kept.error()
        else:
            raise error
        understood.__cause__ = error
        return understood

    def _tell(self, outcome: Refusal | ClaudeProxyError, wait: float) -> None:
        why = f"status {outcome.status}" if isinstance(outcome, Refusal) else outcome.message
        self._log.info(
            "The upstream {name} is tried again in {wait} s: {why}",
            name=self._config.name,
            wait=round(wait, 3),
            why=why,
        )

    def _unauthorized(self) -> ClaudeProxyError:
        """
        The error in the place of an upstream's 401. A client would take that for a word about the key it came with, and
        the upstream's text may show a part of ours.
        """
        name = self._config.name
        setting = "OPENAI_API_KEY" if name == OPENAI else f"api_key of [upstreams.{name}]"
        if self._config.api_key is None:
            why = (
                f"The upstream {name} asks for a key, and this server has none for it. The operator must set {setting}."
            )
        else:
            why = f"The upstream {name} refused this server's key for it. The operator must check {setting}."
        return BackendAuthFailed(why, permanent=True)

    def _unavailable(self) -> ClaudeProxyError:
        """
        The error for a request that the breaker does not let through.
        """
        failures = self._breaker.failures
        return BackendUnavailable(
            f"The upstream {self._config.name} failed {failures} times in a row and is not asked for now.",
            retry_after=self._breaker.left(self._clock.seconds()),
        )

    def _outgoing(self, request: RelayRequest, tries: Tries) -> UpstreamRequest:
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
            on_write=tries.writes,
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


def _has_idempotency_key(request: RelayRequest) -> bool:
    """
    Whether the client says that the request may be sent again. Not every upstream keeps to that: it goes for a request
    that nobody answered, where nothing else can be done, and not for one that was refused.
    """
    return any(name.lower() == b"idempotency-key" for name, _ in request.headers)
