"""
One turn on one process: its events, its cap, its end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.answer import Answer
from claudeproxy.backends.claude.answers.blanks import is_blank
from claudeproxy.backends.claude.answers.failures import failure_of, filter_reason
from claudeproxy.backends.claude.answers.forms import Form
from claudeproxy.backends.claude.answers.reset_times import reset_time
from claudeproxy.backends.claude.answers.stops import Stops
from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.backends.claude.answers.wholeness import ResponseCut, Wholeness
from claudeproxy.core.chat import Part
from claudeproxy.core.events import (
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.errors import AnswerNotJSON, BackendError, ClaudeProxyError, NoFunctionCalled, OutputLimitExceeded
from claudeproxy.wire.anthropic import (
    CallInput,
    CallStarted,
    MessageDelta,
    MessageStart,
    Signature,
    ThoughtStarted,
    decode_event,
    finish_reason,
)
from claudeproxy.wire.claude_cli import Initialized, Line, ModelEvent, Resend, SyntheticAnswer, TurnResult

__all__ = ["Expected", "Outcome", "Turn"]


_BYTES_OF_A_TOKEN = 4
"""Of text, about; for answers of which only we know that they are over."""

_ENDS = frozenset({"end_turn", "stop_sequence"})
"""Reasons that are an end for the CLI as well, unless the answer says nothing."""


@frozen
class Outcome:
    """
    A complete answer.
    """

    parts: tuple[Part, ...]
    """The answer, as the history needs it."""
    clean: bool = True
    """Whether the process has seen this turn as the client has, and nothing beyond it."""
    thought: bool = False
    """Whether the model thought, whatever is kept of it."""


@frozen
class Expected:
    """
    What answer is expected, and who takes it.
    """

    emit: Callable[[StreamEvent], None]
    """Called with its events."""
    form: Form | None = None
    """What its text has to be, where it is not free."""
    stops: tuple[str, ...] = ()
    """The texts that end it. Those that the API takes are the settings' as well."""
    alive: Callable[[], None] = lambda: None
    """Called with each event of the model's, also one of which the client sees nothing."""


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

    _log = Logger()

    _emit: Callable[[StreamEvent], None]
    _session_id: str
    """The id that the CLI must answer with."""
    _max_output: int
    """Bytes that the answer may have: text, reasoning and arguments of calls together, in UTF-8."""
    _charge: Callable[[float], float]
    """Returns what the turn costs when the process has cost so much in all, in USD."""
    _limits: UsageLimits
    _park: Callable[[tuple[str, ...], Callable[[float | None], None]], None]
    """Called with the ids of the functions' calls, when the process is to wait for what they return; calls back with
    what the turn costs, if that is known, when it does."""
    _form: Form | None
    """What the answer's text has to be."""
    _stops: Stops
    """What ends it that the API does not know of."""
    _functions: Collection[str]
    """The names of those that the CLI knows."""
    _kill: Callable[[], None]
    """Ends the process at once, before it asks the API again."""
    done: Deferred[Outcome]
    _alive: Callable[[], None] = lambda: None
    """Called with each event of the model's."""
    over: bool = field(init=False, default=False)
    _answer: Answer = field(init=False, factory=Answer)
    _bytes: int = field(init=False, default=0)
    _call_ids: list[str] = field(init=False, factory=list)
    """Of all calls, those among them that are the answer."""
    _called: set[str] = field(init=False, factory=set)
    """The names of their functions."""
    _stands: bool = field(init=False, default=False)
    """Whether the answer is complete, and the process is about to wait behind it."""
    _answers: bool = field(init=False, default=False)
    """Whether the call that grows is the answer."""
    _input_usage: Usage = field(init=False, factory=Usage)
    _counted: Usage | None = field(init=False, default=None)
    """Of the answer, once it is complete; the result line sums up all answers since the user spoke."""
    _refusal: str = field(init=False, default="")
    """Why the model refuses."""
    _resets_at: float | None = field(init=False, default=None)
    """When the usage limit is reset for which the API refused, in seconds since the epoch."""
    _wholeness: Wholeness = field(init=False, factory=Wholeness)

    def line(self, line: Line) -> None:
        """
        Take one line of the CLI's.
        """
        if not self.over:
            self._guarded(self._line, line)

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

    def _guarded(self, take: Callable[..., None], *arguments: object) -> None:
        """
        Call something that may find the answer wrong. Whatever happens in it, somebody waits for the end of the turn.
        """
        try:
            take(*arguments)
        except ResponseCut:
            self._kill()
            self.fail(BackendError("The model's API broke off before its response was complete."))
        except (AnswerNotJSON, NoFunctionCalled, BackendError) as error:
            self.fail(error)
        except Exception:
            self._log.failure("Cannot handle the answer of Claude Code")
            self.fail(BackendError("Claude Code's answer could not be understood."))

    def _line(self, line: Line) -> None:
        match line:
            case ModelEvent(event=event) if not self._stands:
                self._alive()
                self._event(event)
            case Initialized(session_id=session_id):
                self._check_session(session_id)
            case TurnResult():
                self._result(line)
            case SyntheticAnswer(limit=limit, api_failure=failure):
                if limit is not None:
                    self._resets_at = limit.resets_at
                if failure is not None and self._call_ids and not self._stands:
                    # No result line follows: the CLI waits for the tools' results, and would then ask the API again.
                    self._failed(failure)
                    self._kill()
            case Resend() if not self._stands:
                self._wholeness.resend()
            case _:
                pass

    def _check_session(self, session_id: str) -> None:
        if session_id != self._session_id:
            raise BackendError("Claude Code answered in another session than the one that it was started with.")

    def _event(self, event: bytes) -> None:
        decoded = decode_event(event)
        self._wholeness.event(decoded)
        match decoded:
            case TextDelta(text=text):
                self._add(text if self._form is None else self._form.text(text, self._answer.calls), self._say)
            case ThoughtStarted(redacted=redacted):
                self._answer.begin_thought(redacted)
            case ReasoningDelta(text=text):
                self._add(text, self._think)
            case Signature(text=signature):
                self._answer.sign(signature)
            case CallStarted(call_id=call_id, name=name):
                self._begin_call(call_id, name)
            case CallInput(text=text):
                self._input(text)
            case MessageStart(usage=usage):
                self._input_usage = usage
            case MessageDelta(reason=str(reason), usage=usage, explanation=explanation):
                if finish_reason(reason) is FinishReason.CONTENT_FILTER:
                    # Where the answer was to have a form, what the model says instead is why it refuses.
                    self._refusal = explanation or (self._form.prose if self._form is not None else "")
                self._counted = evolve(
                    self._input_usage, output_tokens=usage.output_tokens, reasoning_tokens=usage.reasoning_tokens
                )
                self._stopped(reason, self._counted)

    def _say(self, text: str) -> None:
        self._show(self._stops.feed(text))
        if self._stops.found:
            # The CLI goes on, and nobody will say how much the model has said.
            self._form = None
            self._finish(self._estimated(), FinishReason.STOP, clean=False)

    def _show(self, text: str) -> None:
        if text:
            self._answer.say(text)
            self._emit(TextDelta(text))

    def _think(self, text: str) -> None:
        self._answer.think(text)
        self._emit(ReasoningDelta(text))

    def _begin_call(self, call_id: str, name: str) -> None:
        self._show(self._stops.rest())
        self._call_ids.append(call_id)
        self._called.add(name)
        self._answers = self._form is not None and self._form.call(name, self._answer.calls)
        if not self._answers:
            self._emit(ToolCallStarted(self._answer.calls, call_id, name))
            self._answer.begin_call(call_id, name)

    def _input(self, text: str) -> None:
        if self._answers:
            assert self._form is not None, "only a form makes a call an answer"
            self._add(self._form.input(text), self._say)
        elif self._answer.calls:
            self._add(text, self._call_with)

    def _call_with(self, text: str) -> None:
        self._answer.call_with(text)
        self._emit(ToolCallDelta(self._answer.calls - 1, text))

    def _add(self, text: str, take: Callable[[str], None]) -> None:
        """
        Take as much of ``text`` as there is room for, cut between characters; what fits is sent and stays sent.
        """
        if not text:
            return
        size = len(text) if text.isascii() else len(text.encode())
        room = self._max_output - self._bytes
        self._bytes += min(size, room)
        if size <= room:
            take(text)
            return
        kept = text.encode()[:room].decode(errors="ignore")
        if kept:
            take(kept)
        self.fail(OutputLimitExceeded(f"The answer is longer than the limit of {self._max_output} bytes."))

    def _stopped(self, reason: str, usage: Usage) -> None:
        """
        The model has stopped, which is the end for the client, and for the CLI perhaps not.
        """
        reached = finish_reason(reason)
        if self._call_ids:
            # The CLI answers by itself what it cannot read, and asks the model again; so it does with half a call, and
            # with one of a function that there is not.
            known = self._called <= set(self._functions)
            clean = reached is FinishReason.TOOL_CALLS and known and self._answer.well_called
            if not clean:
                called = reached is FinishReason.STOP and self._answer.calls and self._answer.well_called
                self._finish(usage, FinishReason.TOOL_CALLS if called else reached, clean=False)
                return
            answered = FinishReason.TOOL_CALLS if self._answer.calls else FinishReason.STOP
            # What is wrong with the answer is found before the process waits behind it.
            self._complete(answered)

            def parked(cost: float | None) -> None:
                if not self.over:
                    self._guarded(partial(self._finish, evolve(usage, cost_usd=cost), answered, clean=True))

            self._stands = True
            self._park(tuple(self._call_ids), parked)
        elif reached is not FinishReason.STOP or (reason in _ENDS and self._says_nothing):
            # The CLI does not take this for an end: it tells the model to go on (seen), as nobody asked it to.
            self._finish(usage, reached, clean=False)

    @property
    def _says_nothing(self) -> bool:
        return is_blank(self._answer.text) and not (self._form is not None and self._form.prose)

    def _result(self, result: TurnResult) -> None:
        self._check_session(result.session_id)
        if self.over:
            return
        if result.is_error:
            self._failed(result)
            return
        usage = evolve(self._counted or result.usage, cost_usd=self._charge(result.total_cost_usd))
        if self._form is not None and self._form.begun and result.stop_reason == "stop_sequence":
            # The client has cut its object off, and gets what there is of it.
            self._form = None
        self._finish(usage, finish_reason(result.stop_reason), clean=True)

    def _failed(self, result: TurnResult) -> None:
        """
        The API, or the CLI itself, has failed.
        """
        reason = filter_reason(result)
        if reason is not None:
            self._refusal = reason
            self._finish(self._estimated(result.total_cost_usd), FinishReason.CONTENT_FILTER, clean=False)
            return
        resets_at = self._resets_at if self._resets_at is not None else reset_time(result.text, self._limits.now())
        self.fail(failure_of(result, self._limits.wait(resets_at)))

    def _estimated(self, total_cost_usd: float | None = None) -> Usage:
        """
        Return the usage of a response that was stopped before the API had counted it.
        """
        cost = None if total_cost_usd is None else self._charge(total_cost_usd)
        return evolve(self._input_usage, output_tokens=-(-self._bytes // _BYTES_OF_A_TOKEN), cost_usd=cost)

    def _complete(self, reason: FinishReason) -> None:
        """
        Say what an answer in a form still lacks.

        :raises AnswerNotJSON: it stops, and is no object.
        """
        form, self._form = self._form, None
        if form is not None and reason is FinishReason.STOP and not self._answer.calls:
            self._add(form.missing(self._answer.text), self._say)

    def _finish(self, usage: Usage, reason: FinishReason, *, clean: bool) -> None:
        if self._form is not None:
            self._form.spent = usage
        self._complete(reason)
        if self.over:
            return
        self._show(self._stops.rest())
        self._emit(UsageReport(usage))
        self._emit(Finished(reason, self._refusal))
        self.over = True
        self.done.callback(Outcome(self._answer.parts, clean, self._answer.thought))
