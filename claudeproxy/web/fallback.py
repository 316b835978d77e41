"""
The way along a fallback chain: who fails before the first byte hands over to the next.

Nothing can be handed over once the client has been sent a byte: not the head of a stream, not a comment that keeps it
alive. Until then a failure is remembered and the next backend is asked. When nobody is left, the client gets the last
answer or error of a backend that was asked, as it came: why the others were passed by is of less use to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import IntEnum
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from claudeproxy.core.relay import Refusal
from claudeproxy.core.retry import hands_over
from claudeproxy.core.routing import Step
from claudeproxy.errors import (
    ClaudeProxyError,
    ModelNotFound,
    NotTakenHere,
    ServerShuttingDown,
    UnsupportedParameter,
)
from claudeproxy.ops.time_limits import IdleTimer, TimeLimits
from claudeproxy.web.passthrough import Passthrough
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.turn_headers import retract

__all__ = ["Walk", "in_time"]

T = TypeVar("T")

Serve = Callable[[Step, bool], Awaitable[bytes | Refusal | None]]
"""Serves the request with one step; the second argument says whether there is another behind it."""

_OF_THIS_BACKEND = (ModelNotFound, NotTakenHere, UnsupportedParameter)
"""Faults of a request that are none for a backend with other models and other limits."""

_log = Logger()


class _Weight(IntEnum):
    """
    How much an outcome tells the client.
    """

    UNABLE = 0
    """The backend cannot serve such a request."""
    NOT_ASKED = 1
    """It could not be asked now."""
    ASKED = 2


@frozen
class _Outcome:
    """
    How a step failed, and what the client hears if it was the last.
    """

    weight: _Weight
    what: Refusal | ClaudeProxyError
    backend: str
    upstream: str


@frozen
class Walk:
    """
    One request on its way along a chain.
    """

    _request: ProxyRequest
    _passthrough: Passthrough
    _clock: IReactorTime
    _limits: TimeLimits
    """For all steps together."""

    async def along(self, steps: Sequence[Step], serve: Serve) -> bytes | None:
        """
        Ask one after the other until one answers, and return as a handler does.
        """
        total = self._limits.total or self._limits.idle
        end = self._clock.seconds() + min(self._limits.idle, total)
        return await in_time(self._along(steps, serve, end), self._request, self._limits, self._clock)

    async def _along(self, steps: Sequence[Step], serve: Serve, end: float) -> bytes | None:
        request = self._request
        best: _Outcome | None = None
        for number, step in enumerate(steps, 1):
            before = request.attempts
            try:
                answer = await serve(step, number < len(steps))
                if not isinstance(answer, Refusal):
                    return answer
                what: Refusal | ClaudeProxyError = answer
                weight: _Weight | None = _Weight.ASKED
            except ClaudeProxyError as error:
                if request.gone or request.startedWriting or isinstance(error, ServerShuttingDown):
                    raise
                what, weight = error, _weight(error, request.attempts > before)
                if weight is None and best is None:
                    raise
            # Whatever is answered in the end, this step's stream and session have no part in it.
            if request.stream is not None:
                request.stream.end()
            request.answering = False
            retract(request)
            if weight is None:
                break
            if best is None or weight >= best.weight:
                best = _Outcome(weight, what, request.backend, request.upstream)
            if self._clock.seconds() >= end:
                break
            if number < len(steps):
                self._tell(step, what, steps[number])
        assert best is not None, "a chain has a step"
        request.backend, request.upstream = best.backend, best.upstream
        if isinstance(best.what, Refusal):
            self._passthrough.write(request, best.what)
            return None
        raise best.what

    def _tell(self, step: Step, what: Refusal | ClaudeProxyError, other: Step) -> None:
        why = f"status {what.status}" if isinstance(what, Refusal) else what.message
        _log.info(
            "{step} hands over to {other}: {why}",
            step=str(step),
            other=str(other),
            why=why,
            request_id=self._request.request_id.decode(),
        )


def _weight(error: ClaudeProxyError, asked: bool) -> _Weight | None:
    """
    Return what an error tells, or None when it is the request's own fault, which no other backend would mend.
    """
    if hands_over(error):
        return _Weight.ASKED if asked else _Weight.NOT_ASKED
    if asked:
        return None
    return _Weight.UNABLE if isinstance(error, _OF_THIS_BACKEND) else None


async def in_time(work: Coroutine[Any, Any, T], request: ProxyRequest, limits: TimeLimits, clock: IReactorTime) -> T:
    """
    Do some work for a request, whose first byte has to be there in time. From then on the backend that answers watches
    its own silences, and only the total limit holds.

    :raises UpstreamTimeout: the time is over; the work was cancelled.
    """
    timer = IdleTimer(clock, limits, begun=lambda: bool(request.answering or request.startedWriting))
    return await timer.bound(ensureDeferred(work), "The request")
