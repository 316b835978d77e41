"""
The Claude Code CLI as a chat backend: which process serves a turn, and what becomes of it.
"""

from __future__ import annotations

from uuid import uuid4

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from claudeproxy.backends.claude.conversations import LiveProcesses, TurnLocks
from claudeproxy.backends.claude.environment import Launcher
from claudeproxy.backends.claude.exchange import are_plain_results, is_plain_prompt, results_of
from claudeproxy.backends.claude.pool import Pool
from claudeproxy.backends.claude.process import ClaudeProcess
from claudeproxy.backends.claude.settings import turn_settings
from claudeproxy.backends.claude.turn import Outcome
from claudeproxy.core.chat import ChatRequest, Message, Role, Text
from claudeproxy.core.events import TurnHead
from claudeproxy.core.health import ChatHealth
from claudeproxy.core.history import check_results, history_digest, split_history
from claudeproxy.core.sessions import Session
from claudeproxy.errors import BackendUnavailable, InvalidValue, SessionNotFound, UpstreamTimeout
from claudeproxy.interfaces import IChatBackend, IEventSink, ISessionStore

__all__ = ["ClaudeBackend"]


@frozen
class _Turn:
    """
    A turn and the session it belongs to.
    """

    session: Session
    """As it stands before the turn."""
    created: bool
    new: tuple[Message, ...]
    """The user's messages, and results of functions, that the model has not seen."""


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
    _request_timeout: float
    _max_processes: int
    _locks: TurnLocks
    _live: LiveProcesses = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._live = LiveProcesses(self._pool)

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
        served = ensureDeferred(self._serve(request, sink))
        return served.addTimeout(self._request_timeout, self._clock, _timed_out)

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

    async def _serve(self, request: ChatRequest, sink: IEventSink) -> None:
        turn = await self._claim(request)
        try:
            await self._run(turn, request, sink)
        except BaseException:
            if turn.created:
                # Without its first turn it would answer as if nothing had been said.
                self._sessions.delete(turn.session.session_id, turn.session.tenant)
            raise
        finally:
            self._locks.release(turn.session.session_id)

    async def _claim(self, request: ChatRequest) -> _Turn:
        """
        Find or make the session, and make this turn the only one in it.
        """
        if request.session_id is not None:
            return await self._claim_named(request, request.session_id)
        history, new = _split(request)
        check_results(history, new)
        digest = history_digest(request.tenant, request.backend_model, request.system, request.tools, history)
        recognised = self._live.session_of(digest) if history else None
        if recognised is not None and recognised not in self._locks:
            session = self._sessions.get(recognised, request.tenant)
            if session is not None:
                await self._locks.acquire(recognised)
                return _Turn(session, created=False, new=new)
        now = self._clock.seconds()
        session = Session(
            session_id=str(uuid4()),
            tenant=request.tenant,
            model=request.backend_model,
            system=request.system,
            tools=request.tools,
            messages=history,
            created=now,
            touched=now,
        )
        await self._locks.acquire(session.session_id)
        # Its id is known to the client before its first turn ends.
        self._sessions.put(session)
        return _Turn(session, created=True, new=new)

    async def _claim_named(self, request: ChatRequest, session_id: str) -> _Turn:
        # Only what follows the last answer is new, so a client may send its whole history here too.
        _, new = _split(request)
        self._known(session_id, request.tenant)
        await self._locks.acquire(session_id)
        try:
            # The turn before may have changed or ended it.
            session = self._known(session_id, request.tenant)
            check_results(session.messages, new)
        except (SessionNotFound, InvalidValue):
            self._locks.release(session_id)
            raise
        changed = evolve(
            session,
            model=request.backend_model,
            system=request.system or session.system,
            tools=request.tools or session.tools,
        )
        return _Turn(changed, created=False, new=new)

    def _known(self, session_id: str, tenant: str) -> Session:
        session = self._sessions.get(session_id, tenant)
        if session is None:
            raise SessionNotFound(f"There is no session {session_id}, or it has expired.")
        return session

    async def _run(self, turn: _Turn, request: ChatRequest, sink: IEventSink) -> None:
        session = turn.session
        conversation = (*session.messages, *turn.new)
        process = self._live.wake(session) or await self._begin(session)
        try:
            sink.started(TurnHead(session.session_id, turn.created, request.ignored))
            sink.flow_from(process)
            outcome = await self._ask(process, conversation, turn, request, sink)
        except BackendUnavailable as error:
            self._pool.discard(process)
            raise await self._pool.explained(error) from error
        except BaseException:
            # What the process has seen is no longer what the session holds.
            self._pool.discard(process)
            raise
        finally:
            sink.flow_ended()
        messages = _worded((*conversation, Message(Role.ASSISTANT, outcome.parts)))
        after = evolve(session, messages=messages, touched=self._clock.seconds())
        self._sessions.put(after)
        if outcome.clean:
            self._live.rest(after, process)
        else:
            # The CLI is about to go on by itself; an interrupt would come too late to save the request.
            self._pool.discard(process)
            process.kill()

    async def _begin(self, session: Session) -> ClaudeProcess:
        """
        Give the session a process of its own.
        """
        process = await self._pool.take()
        process.initialize(session.system, tuple(tool.name for tool in session.tools))
        # One that has seen nothing must be told everything, unless nothing was said before.
        process.needs_history = bool(session.messages)
        return process

    def _ask(
        self,
        process: ClaudeProcess,
        conversation: tuple[Message, ...],
        turn: _Turn,
        request: ChatRequest,
        sink: IEventSink,
    ) -> Deferred[Outcome]:
        """
        Send what is new; and all that came before it, where the process does not know that or would change it.
        """
        parked = process.parked
        if not (are_plain_results(turn.new) if parked else is_plain_prompt(turn.new)):
            process.needs_history = True
        whole = conversation if process.needs_history else None
        settings = turn_settings(request.settings, turn.session.tools, whole, parked=parked)
        process.configure(turn.session.model, settings)
        process.show_reasoning(request.settings.show_reasoning)
        if parked:
            return process.continue_turn(results_of(turn.new), sink.event)
        # With the whole conversation beside it, the message only starts the turn.
        parts = (Text("."),) if whole is not None else tuple(part for message in turn.new for part in message.parts)
        return process.run_turn(parts, sink.event)


def _split(request: ChatRequest) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """
    Return the history and what is new.

    :raises InvalidValue: nothing is new.
    """
    history, new = split_history(_worded(request.messages))
    if not new:
        raise InvalidValue("The last message says nothing.", param="messages")
    return history, new


def _worded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    Leave out messages without text, which the API refuses and the CLI replaces; an answer may well have none.
    """
    return tuple(worded for message in messages if (worded := message.worded) is not None)


def _timed_out(result: object, timeout: float) -> None:
    raise UpstreamTimeout(f"The turn took longer than {timeout:g} s and was stopped.")
