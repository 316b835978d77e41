"""
The Claude Code CLI as a chat backend: which process serves a turn, and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.backends.claude.answers.naming import ClientNames
from claudeproxy.backends.claude.answers.turn import Expected, Outcome
from claudeproxy.backends.claude.claims import ClaimedTurn, Claims
from claudeproxy.backends.claude.conversations import LiveProcesses, TurnLocks
from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.pool import Pool
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.backends.claude.requests.attempts import Attempts
from claudeproxy.backends.claude.requests.bindings import count_thoughtful, place_after, placed, with_recent_thoughts
from claudeproxy.backends.claude.requests.effort import effort_without_effect
from claudeproxy.backends.claude.requests.exchange import (
    are_plain_results,
    is_plain_answer,
    is_plain_prompt,
    results_of,
)
from claudeproxy.backends.claude.requests.features import Feature, Refusals, emulated, features_of
from claudeproxy.backends.claude.requests.sampling import sampled, sampling_of
from claudeproxy.backends.claude.requests.settings import kept_settings, turn_settings
from claudeproxy.backends.claude.requests.ways import Way
from claudeproxy.core.chat import ChatRequest, Message, Text
from claudeproxy.core.events import ReasoningDelta, StreamEvent, TurnHead, Usage, UsageReport
from claudeproxy.core.health import ChatHealth
from claudeproxy.core.sessions import Session
from claudeproxy.errors import AnswerNotJSON, BackendUnavailable, RequestRefused
from claudeproxy.interfaces import IChatBackend, IEventSink, ISessionStore
from claudeproxy.ops.time_limits import IdleTimer, TimeLimits

__all__ = ["ClaudeBackend"]

_LEAVING = 2.0
"""Seconds that a parked process has to leave its turn, which takes it some milliseconds; then it has to go."""


@implementer(IChatBackend)
@define(eq=False)
class ClaudeBackend:
    """
    Serves chat requests with CLI processes.
    """

    name = "claude-code"

    _pool: Pool
    _launcher: Launcher
    _sessions: ISessionStore
    _clock: IReactorTime
    _limits: TimeLimits
    _max_processes: int
    _locks: TurnLocks
    _honour_sampling: bool
    """Whether the model is to stop thinking where a client asks for a temperature."""
    _refusals: Refusals = field(init=False)
    _live: LiveProcesses = field(init=False)
    _claims: Claims = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._refusals = Refusals(self._clock)
        self._live = LiveProcesses(self._pool)
        self._claims = Claims(self._sessions, self._live, self._clock, self._locks)

    def start(self) -> None:
        """
        Begin to keep processes waiting.
        """
        self._pool.start()

    def stop(self) -> Deferred[None]:
        """
        End every process and remove what they left; fires when that is done.
        """
        return self._pool.stop().addCallback(lambda _: self._launcher.clean_up())

    def kill(self) -> None:
        """
        End every process without grace: the daemon is about to be gone.
        """
        self._pool.kill()
        self._launcher.clean_up()

    def open(self, request: ChatRequest, sink: IEventSink) -> Deferred[None]:
        """
        See ``IChatBackend``.
        """
        # A process that is not read, since its client is slow, shows no life either: a client that never reads is not
        # waited for without end.
        timer = IdleTimer(self._clock, self._limits)
        return timer.bound(ensureDeferred(self._serve(request, sink, timer.touch)), "The turn")

    def health(self) -> ChatHealth:
        """
        How it is now; no model is asked.
        """
        counts = self._pool.counts()
        missing = self._launcher.locate() is None
        return ChatHealth(
            status="missing" if missing else "failing" if self._pool.failure is not None else "ok",
            detail=self._pool.failure,
            version=self._pool.version,
            active=counts.working,
            max=self._max_processes,
            queued=counts.queued,
            warm=counts.waiting,
            live=counts.working + counts.resting,
            parked=counts.parked,
            usage_limits=self._pool.limits.current(),
        )

    # -- A turn ---------------------------------------------------------------

    async def _serve(self, request: ChatRequest, sink: IEventSink, alive: Callable[[], None]) -> None:
        turn = await self._claims.claim(request)
        try:
            await self._run(turn, request, sink, alive)
        except BaseException:
            self._claims.forget(turn)
            raise
        finally:
            self._claims.release(turn)

    async def _run(self, turn: ClaimedTurn, request: ChatRequest, sink: IEventSink, alive: Callable[[], None]) -> None:
        settings, without_effect = sampled(request.settings, honour=self._honour_sampling)
        features = features_of(settings, turn.conversation, turn.session.tools)
        model = turn.session.model
        attempts = Attempts(self._refusals, model, features)
        without_effect = (*without_effect, *effort_without_effect(model, settings))
        if Feature.SAMPLING in attempts.refused:
            without_effect = (*without_effect, *sampling_of(settings))
        head: TurnHead | None = TurnHead(turn.session.session_id, turn.created, (*request.ignored, *without_effect))
        emit: Callable[[StreamEvent], None] = sink.event
        while True:
            way = Way.of(settings, turn.session.tools, turn.conversation, attempts.refused)
            emitted = _Emitted(emit)
            try:
                await self._attempt(turn, way, sink, emitted.event, alive, head)
                break
            except RequestRefused as refusal:
                if emitted.any:
                    # The API refused within its stream: another response must not be appended to what was sent.
                    raise
                attempts.refused_by_api(way, refusal)
            except AnswerNotJSON as failure:
                attempts.is_no_object(way, failure)
                if way.form is not None and way.form.spent is not None:
                    emit = _going_on(emit, way.form.spent)
            head = None
        attempts.succeeded(way)

    async def _attempt(
        self,
        turn: ClaimedTurn,
        way: Way,
        sink: IEventSink,
        emit: Callable[[StreamEvent], None],
        alive: Callable[[], None],
        head: TurnHead | None = None,
    ) -> None:
        """
        Run a turn on a process.

        :param emit: takes the events.
        :param alive: called when the model shows life.
        :param head: what the sink is told first, unless it has been.
        """
        process = await self._process(turn.session, way)
        try:
            if head is not None:
                sink.started(head)
            sink.flow_from(process)
            outcome = await self._ask(process, turn, way, emit, alive)
            if not outcome.clean:
                # The CLI is about to go on by itself, and each moment counts; an interrupt would come too late to save
                # the request.
                process.kill()
                self._pool.discard(process)
            after = self._claims.settle(turn, outcome.parts)
            if outcome.clean:
                process.seen.needs_history = process.seen.needs_history or not is_plain_answer(outcome.parts)
                self._live.rest(after, process)
        except BackendUnavailable as error:
            self._pool.discard(process)
            raise await self._pool.explained(error) from error
        except BaseException:
            # What the process has seen is no longer what the session holds.
            self._pool.discard(process)
            raise
        finally:
            sink.flow_ended()

    async def _process(self, session: Session, way: Way) -> ClaudeProcess:
        """
        Return the session's process, or give it one.
        """
        functions = way.functions
        process = self._live.wake(session)
        if process is not None:
            # The CLI would answer a call of a function that it does not know, and ask the model again.
            if set(functions) <= set(process.parking.tools) and await self._ready(process, session.model, way):
                return process
            self._pool.discard(process)
        process = await self._pool.take(with_functions=bool(functions))
        process.initialize(session.system, functions)
        # One that has seen nothing must be told everything, unless nothing was said before.
        process.seen.needs_history = bool(session.messages)
        process.seen.keeps = kept_settings(session.model, way.settings)
        return process

    async def _ready(self, process: ClaudeProcess, model: str, way: Way) -> bool:
        """
        Have a parked process leave its turn, if what that began with would leak into this one; return whether it can
        be used.
        """
        keeps = kept_settings(model, way.settings)
        if process.parking.waits and process.seen.keeps != keeps:
            process.seen.needs_history = True
            try:
                await process.leave_turn().addTimeout(_LEAVING, self._clock)
            except TimeoutError:
                return False
            except BaseException:
                self._pool.discard(process)
                raise
        process.seen.keeps = keeps
        return process.usable

    def _ask(
        self,
        process: ClaudeProcess,
        turn: ClaimedTurn,
        way: Way,
        emit: Callable[[StreamEvent], None],
        alive: Callable[[], None],
    ) -> Deferred[Outcome]:
        """
        Send what is new; and all that came before it, where the process does not know that or would change it.
        """
        parked = process.parking.waits
        plain = are_plain_results(turn.new) if parked else is_plain_prompt(turn.new)
        telling = way.telling(None)
        head = telling.head(turn.session.system)
        misplaced = Feature.MISPLACED in way.refused and process.seen.head not in (b"", head)
        if turn.prefill or way.tool is not None or way.request or not plain or misplaced:
            process.seen.needs_history = True
        whole = process.seen.needs_history
        if whole:
            conversation = with_recent_thoughts(turn.conversation)
            telling = way.telling(emulated(conversation, way.refused, way.request))
            head = telling.head(turn.session.system)
            if Feature.MISPLACED in way.refused:
                telling = telling.in_place(head)
        model = turn.session.model
        process.configure(model, turn_settings(model, telling), show_reasoning=way.settings.show_reasoning)
        names = ClientNames.of(way.tools, way.tool)
        expected = Expected(names.emit_to(emit), way.form, way.settings.stop, alive)
        if parked:
            answered = process.continue_turn(results_of(turn.new, told_whole=whole), expected)
        else:
            # With the whole conversation beside it, the message only starts the turn.
            parts = (Text("."),) if whole else tuple(part for message in turn.new for part in message.parts)
            answered = process.run_turn(parts, expected)
        said = turn.conversation if telling.told is None else telling.told
        if names:
            answered.addCallback(lambda outcome: evolve(outcome, parts=names.parts(outcome.parts)))
        return answered.addCallback(partial(_placed, process, head, said, whole))


@define
class _Emitted:
    """
    Whether one attempt has emitted anything.
    """

    _emit: Callable[[StreamEvent], None]
    any: bool = field(init=False, default=False)

    def event(self, event: StreamEvent) -> None:
        """
        Emit an event.
        """
        self.any = True
        self._emit(event)


def _placed(process: ClaudeProcess, head: bytes, said: Sequence[Message], whole: bool, outcome: Outcome) -> Outcome:
    """
    Take note of what the model thought, and after what.
    """
    if not outcome.thought:
        return outcome
    unknown = 0 if whole else process.seen.thoughts - count_thoughtful(said)
    process.seen.thoughts, process.seen.head = process.seen.thoughts + 1, head
    return evolve(outcome, parts=placed(outcome.parts, place_after(head, said, unknown)))


def _going_on(emit: Callable[[StreamEvent], None], spent: Usage) -> Callable[[StreamEvent], None]:
    """
    Return what takes the events of a second attempt: its reasoning the client has had, and it pays for both.
    """

    def take(event: StreamEvent) -> None:
        if isinstance(event, UsageReport):
            emit(UsageReport(event.usage.plus(spent)))
        elif not isinstance(event, ReasoningDelta):
            emit(event)

    return take
