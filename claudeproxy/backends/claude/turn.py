"""
One turn on one process: its events, its cap, its end.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from claudeproxy.backends.claude.failures import failure_of, reset_time
from claudeproxy.backends.claude.usage_limits import UsageLimits
from claudeproxy.core.events import Finished, FinishReason, ReasoningDelta, StreamEvent, TextDelta, Usage, UsageReport
from claudeproxy.errors import BackendError, ClaudeProxyError, OutputLimitExceeded
from claudeproxy.wire.anthropic import MessageStart, MessageStop, decode_event, finish_reason
from claudeproxy.wire.claude_cli import Initialized, Line, ModelEvent, SyntheticAnswer, TurnResult

__all__ = ["Outcome", "Turn"]


_ENDS = frozenset({"end_turn", "stop_sequence"})
"""Reasons that are an end for the CLI as well, unless the answer has no text at all."""


@frozen
class Outcome:
    """
    A complete turn.
    """

    text: str
    """The answer, as the history needs it."""
    clean: bool = True
    """Whether the process has seen this turn as the client has, and nothing beyond it."""


def _ignore(event: StreamEvent) -> None:
    """
    Emit nothing.
    """


@define(eq=False)
class Turn:
    """
    Turns the lines of one turn into events for the sink.

    ``done`` fires once: with an :class:`Outcome`, or with what the client is told. After that the turn is mute.
    """

    _emit: Callable[[StreamEvent], None]
    _session_id: str
    """The id that the CLI must answer with."""
    _max_output: int
    """Bytes that the answer may have: text and reasoning together, in UTF-8."""
    _cost_before: float
    _limits: UsageLimits
    done: Deferred[Outcome]
    over: bool = field(init=False, default=False)
    _text: list[str] = field(init=False, factory=list)
    _bytes: int = field(init=False, default=0)
    _input: Usage = field(init=False, factory=Usage)
    _resets_at: float | None = field(init=False, default=None)
    """When the usage limit is reset for which the API refused, in seconds since the epoch."""

    def line(self, line: Line) -> None:
        """
        Take one line of the CLI's.
        """
        if self.over:
            return
        match line:
            case ModelEvent(event=event):
                self._event(event)
            case Initialized(session_id=session_id):
                self._check_session(session_id)
            case TurnResult():
                self._result(line)
            case SyntheticAnswer(limit=limit) if limit is not None:
                # The rest of it is the error text of the result that follows.
                self._resets_at = limit.resets_at
            case _:
                pass

    def fail(self, error: ClaudeProxyError) -> None:
        """
        End the turn with an error, unless it is over.
        """
        if not self.over:
            self.over = True
            self.done.errback(Failure(error))

    def abandon(self) -> None:
        """
        Its Deferred was cancelled: say nothing more at all.
        """
        self.over = True

    def mute(self) -> None:
        """
        Emit nothing more; ``done`` fires all the same, for whoever still waits for it.
        """
        self._emit = _ignore

    def _check_session(self, session_id: str) -> None:
        if session_id != self._session_id:
            # A resume that failed goes on as a fresh conversation and exits with 0 (peers.md E).
            self.fail(BackendError("Claude Code did not resume the conversation: it answered in another session."))

    def _event(self, event: bytes) -> None:
        match decode_event(event):
            case TextDelta() | ReasoningDelta() as delta:
                self._delta(delta)
            case MessageStart(usage=usage):
                self._input = usage
            case MessageStop(reason=reason, usage=usage) if finish_reason(reason) is not FinishReason.STOP or (
                reason in _ENDS and not self._text
            ):
                # The CLI does not take this for an end: it tells the model to go on (seen), as nobody asked it to.
                counted = evolve(
                    self._input, output_tokens=usage.output_tokens, reasoning_tokens=usage.reasoning_tokens
                )
                self._finish(counted, reason, clean=False)

    def _delta(self, delta: TextDelta | ReasoningDelta) -> None:
        text = delta.text
        size = len(text) if text.isascii() else len(text.encode())
        room = self._max_output - self._bytes
        if size > room:
            # Cut between characters: what fits is sent and stays sent.
            text = text.encode()[:room].decode(errors="ignore")
        self._bytes += min(size, room)
        if text:
            if isinstance(delta, TextDelta):
                self._text.append(text)
            self._emit(delta if size <= room else evolve(delta, text=text))
        if size > room:
            self.fail(OutputLimitExceeded(f"The answer is longer than the limit of {self._max_output} bytes."))

    def _result(self, result: TurnResult) -> None:
        self._check_session(result.session_id)
        if self.over:
            return
        if result.is_error:
            resets_at = self._resets_at if self._resets_at is not None else reset_time(result.text)
            self.fail(failure_of(result, self._limits.wait(resets_at)))
            return
        # The total runs on over the life of the process.
        cost = max(0.0, result.total_cost_usd - self._cost_before)
        self._finish(evolve(result.usage, cost_usd=cost), result.stop_reason, clean=True)

    def _finish(self, usage: Usage, stop_reason: str | None, *, clean: bool) -> None:
        self._emit(UsageReport(usage))
        self._emit(Finished(finish_reason(stop_reason)))
        self.over = True
        self.done.callback(Outcome("".join(self._text), clean))
