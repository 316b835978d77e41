"""
Which session has a live process, and whose turn it is.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from claudeproxy.backends.claude.processes.pool import Pool
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.core.sessions import Session
from claudeproxy.errors import SessionBusy

__all__ = ["LiveProcesses", "TurnLocks"]


@define
class TurnLocks:
    """
    One turn at a time in each session, in the order of arrival.
    """

    _clock: IReactorTime
    _timeout: float
    """Seconds that a turn waits for the ones before it."""
    _queues: dict[str, deque[Deferred[None]]] = field(init=False, factory=dict)
    _handing_on: dict[str, bool] = field(init=False, factory=dict)
    """The sessions whose next turn is just being told, and whether it is over already."""

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._queues

    def acquire(self, session_id: str) -> Deferred[None]:
        """
        Fire when it is this turn's turn; fail with SessionBusy when that takes too long. Cancelling leaves the queue.
        """
        queue = self._queues.get(session_id)
        granted: Deferred[None] = Deferred(lambda _: queue.remove(granted) if queue is not None else None)
        if queue is None:
            self._queues[session_id] = deque()
            granted.callback(None)
            return granted
        queue.append(granted)
        return granted.addTimeout(self._timeout, self._clock, self._busy)

    def release(self, session_id: str) -> None:
        """
        The turn is over; the next one begins.
        """
        if session_id in self._handing_on:
            # The turn ended while it was being told that it may begin; the loop below goes on. Were it told from here,
            # a hundred turns that end at once would be nested too deeply.
            self._handing_on[session_id] = True
            return
        over = True
        while over:
            queue = self._queues[session_id]
            if not queue:
                del self._queues[session_id]
                return
            self._handing_on[session_id] = False
            try:
                queue.popleft().callback(None)
            finally:
                over = self._handing_on.pop(session_id)

    def _busy(self, result: object, timeout: float) -> None:
        raise SessionBusy(f"Another turn of this session is running and did not end within {timeout:g} s.")


@define
class LiveProcesses:
    """
    The resting processes by session, and by the history that each has seen.
    """

    _pool: Pool
    _by_session: dict[str, tuple[ClaudeProcess, bytes]] = field(init=False, factory=dict)
    _by_digest: dict[bytes, str] = field(init=False, factory=dict)

    def session_of(self, digest: bytes) -> str | None:
        """
        Return the session whose resting process has seen exactly this history.
        """
        return self._by_digest.get(digest)

    def wake(self, session: Session) -> ClaudeProcess | None:
        """
        Take the session's process for another turn; None when it has none that is in the session's state.

        A process that has seen something else, another model or system prompt among it, is ended: neither can be
        changed without the conversation showing it.
        """
        entry = self._by_session.get(session.session_id)
        if entry is None:
            return None
        process, seen = entry
        self._remove(session.session_id, process)
        if seen == session.digest and self._pool.wake(process):
            return process
        self._pool.discard(process)
        return None

    def rest(self, session: Session, process: ClaudeProcess) -> None:
        """
        Keep the process for the session's next turn.
        """
        digest = session.digest
        self._by_session[session.session_id] = process, digest
        self._by_digest[digest] = session.session_id
        self._pool.rest(process, partial(self._remove, session.session_id, process))

    def _remove(self, session_id: str, process: ClaudeProcess) -> None:
        """
        Forget the session's process, unless it has another one by now.
        """
        entry = self._by_session.get(session_id)
        if entry is None or entry[0] is not process:
            return
        del self._by_session[session_id]
        if self._by_digest.get(entry[1]) == session_id:
            del self._by_digest[entry[1]]
