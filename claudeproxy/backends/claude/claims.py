"""
Which session a turn belongs to, and what is new in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

from claudeproxy.backends.claude.conversations import LiveProcesses, TurnLocks
from claudeproxy.backends.claude.thoughts import Thoughts
from claudeproxy.core.chat import ChatRequest, Message, Part, Role, Text, Thinking
from claudeproxy.core.history import (
    as_called,
    check_results,
    history_digest,
    in_call_order,
    split_history,
    split_prefill,
)
from claudeproxy.core.sessions import Session
from claudeproxy.core.tools import Tool, offer_key
from claudeproxy.errors import InvalidValue, SessionNotFound
from claudeproxy.interfaces import ISessionStore

__all__ = ["ClaimedTurn", "Claims"]


@frozen
class ClaimedTurn:
    """
    A turn and the session it belongs to.
    """

    session: Session
    """As it stands before the turn."""
    created: bool
    new: tuple[Message, ...]
    """The user's messages, and results of functions, that the model has not seen."""
    prefill: tuple[Message, ...]
    """The beginning of the answer, where the client wrote it."""

    @property
    def conversation(self) -> tuple[Message, ...]:
        """
        All that the model is to know.
        """
        return (*self.session.messages, *self.new, *self.prefill)

    def answered(self, parts: tuple[Part, ...]) -> Session:
        """
        Return the session as it stands after the turn.

        :param parts: what the model has answered, its beginning left out where the client wrote it.
        """
        answer = Message(Role.ASSISTANT, _joined(self.prefill, parts))
        return evolve(self.session, messages=_worded((*self.session.messages, *self.new, answer)))


@define
class Claims:
    """
    Gives each turn its session, and each session one turn at a time.
    """

    _sessions: ISessionStore
    _live: LiveProcesses
    _clock: IReactorTime
    _locks: TurnLocks
    _thoughts: Thoughts = field(init=False, factory=Thoughts)

    async def claim(self, request: ChatRequest) -> ClaimedTurn:
        """
        Find or make the session, and make this turn the only one in it.
        """
        if request.session_id is not None:
            return await self._claim_named(request, request.session_id)
        history, new, prefill = _split(request)
        check_results(history, new)
        digest = history_digest(request.tenant, request.backend_model, request.system, request.tools, history)
        recognised = self._live.session_of(digest) if history else None
        if recognised is not None and recognised not in self._locks:
            session = self._sessions.get(recognised, request.tenant)
            if session is not None:
                await self._locks.acquire(recognised)
                return ClaimedTurn(session, created=False, new=new, prefill=prefill)
        now = self._clock.seconds()
        session = Session(
            session_id=str(uuid4()),
            tenant=request.tenant,
            model=request.backend_model,
            system=request.system,
            tools=request.tools,
            messages=self._thoughts.restored(request.tenant, request.backend_model, history),
            created=now,
            touched=now,
        )
        await self._locks.acquire(session.session_id)
        try:
            # Its id is known to the client before its first turn ends.
            self._sessions.put(session)
        except BaseException:
            self._locks.release(session.session_id)
            raise
        return ClaimedTurn(session, created=True, new=new, prefill=prefill)

    def release(self, turn: ClaimedTurn) -> None:
        """
        The turn is over; its session is free for the next one.
        """
        self._locks.release(turn.session.session_id)

    def forget(self, turn: ClaimedTurn) -> None:
        """
        The turn has failed. A session without its first turn would answer as if nothing had been said.
        """
        if turn.created:
            self._sessions.delete(turn.session.session_id, turn.session.tenant)

    def settle(self, turn: ClaimedTurn, parts: tuple[Part, ...]) -> Session:
        """
        Keep what the model has answered, and return the session as it is now.
        """
        session = evolve(turn.answered(parts), touched=self._clock.seconds())
        # As it comes back: without texts that say nothing.
        if session.messages[-1].role is Role.ASSISTANT:
            self._thoughts.keep(session.tenant, session.model, session.messages[-1])
        self._sessions.put(session)
        return session

    async def _claim_named(self, request: ChatRequest, session_id: str) -> ClaimedTurn:
        # Only what follows the last answer is new, so a client may send its whole history here too.
        history, new, prefill = _split(request)
        self._known(session_id, request.tenant)
        await self._locks.acquire(session_id)
        try:
            # The turn before may have changed or ended it.
            session = self._known(session_id, request.tenant)
            answered, _ = split_history(session.messages)
            new = _unheard(session, request, as_called(answered, history, new))
            check_results(session.messages, new)
            changed = evolve(
                session,
                model=request.backend_model,
                system=request.system or session.system,
                tools=_offered(session.tools, request.tools),
                # What one model thought another one does not take back.
                messages=session.messages if request.backend_model == session.model else _shown(session.messages),
            )
            return ClaimedTurn(changed, created=False, new=new, prefill=prefill)
        except BaseException:
            # Whatever it is: nobody else would release the session.
            self._locks.release(session_id)
            raise

    def _known(self, session_id: str, tenant: str) -> Session:
        session = self._sessions.get(session_id, tenant)
        if session is None:
            raise SessionNotFound(f"There is no session {session_id}, or it has expired.")
        return session


def _offered(known: tuple[Tool, ...], given: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """
    Return the functions as they stand. The same ones stay as they were written: the model has them so.
    """
    return known if not given or offer_key(known) == offer_key(given) else given


def _split(request: ChatRequest) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """
    Return the history, what is new, and the beginning of the answer.

    :raises InvalidValue: nothing is new.
    """
    said, prefill = split_prefill(in_call_order(_worded(request.messages)))
    history, new = split_history(said)
    if not new:
        raise InvalidValue("The last message says nothing.", param="messages")
    return history, new, _trimmed(prefill)


def _unheard(session: Session, request: ChatRequest, new: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    Leave out what the session knows: an answer that says nothing does not divide what is new from what came before it.

    :raises InvalidValue: nothing is new.
    """
    _, unanswered = split_history(session.messages)
    said, _ = split_prefill(request.messages)
    if not unanswered or all(message.role is not Role.ASSISTANT for message in said):
        return new
    unheard = new[_repeated(unanswered, new) :]
    if not unheard:
        raise InvalidValue("The last message says nothing.", param="messages")
    return unheard


def _repeated(known: Sequence[Message], told: Sequence[Message]) -> int:
    """
    Return with how many messages a conversation repeats what is known. One of the system may stand among them that
    was a system prompt when it came, at the head of a request.
    """
    left = list(known)
    for index, message in enumerate(told):
        if message == left[0]:
            del left[0]
        elif message.role is not Role.SYSTEM:
            return 0
        if not left:
            return index + 1
    return 0


def _trimmed(prefill: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    Cut the blanks off the end of an answer's beginning, with which the API takes none.
    """
    parts = list(prefill[-1].parts) if prefill else []
    if parts and isinstance(parts[-1], Text):
        parts[-1] = Text(parts[-1].text.rstrip())
        return (*prefill[:-1], Message(Role.ASSISTANT, parts))
    return prefill


def _joined(prefill: tuple[Message, ...], parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """
    Return the parts of an answer whose beginning the client wrote.
    """
    if not prefill:
        return parts
    joined = [part for message in prefill for part in message.parts]
    # What a model thinks that was asked to go on has no place in the middle of an answer.
    for part in (part for part in parts if not isinstance(part, Thinking)):
        if isinstance(part, Text) and joined and isinstance(joined[-1], Text):
            joined[-1] = Text(joined[-1].text + part.text)
        else:
            joined.append(part)
    return tuple(joined)


def _shown(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    Leave out what the model thought.
    """
    return tuple(message.shown for message in messages)


def _worded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    Leave out messages without text, which the API refuses and the CLI replaces; an answer may well have none.
    """
    return tuple(worded for message in messages if (worded := message.worded) is not None)
