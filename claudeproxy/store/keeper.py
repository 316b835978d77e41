"""
Keeps the sessions of memory on disk: read at the start, written now and then and at the end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from claudeproxy.core.sessions import Session
from claudeproxy.store.session_file import SessionFile
from claudeproxy.store.sessions import MemorySessionStore

__all__ = ["SessionKeeper"]

_EVERY = 30.0
"""Seconds between looks at whether there is something to write: what a daemon that is killed may lose."""


@define(eq=False)
class SessionKeeper:
    """
    The way between the sessions' memory and their file. That the disk fails is told, and keeps nobody from chatting.
    """

    _log = Logger()

    _clock: IReactorTime
    _sessions: MemorySessionStore
    _file: SessionFile
    _written: int = field(init=False, default=0)
    """The state of the memory that the file has."""
    _loop: LoopingCall = field(init=False)
    _looking: Deferred[LoopingCall] | None = field(init=False, default=None)
    _failing: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self._clock

    def start(self) -> None:
        """
        Remember what was kept, and begin to keep.
        """
        try:
            for session in self._file.read():
                self._sessions.put(session)
        except (OSError, ValueError) as error:
            self._log.warn("The sessions that were kept (STATE_DIR) cannot be read: {reason}", reason=_reason(error))
        self._written = self._sessions.state
        self._looking = self._loop.start(_EVERY, now=False)

    async def stop(self) -> None:
        """
        Write what is there now.
        """
        if self._looking is not None:
            self._loop.stop()
            await self._looking  # to its end, when it is just writing
        await self._write()

    def _look(self) -> Deferred[None] | None:
        return None if self._sessions.state == self._written else self._write()

    def _write(self) -> Deferred[None]:
        state, sessions = self._sessions.state, self._sessions.all()
        writing: Deferred[None] = deferToThread(self._file.write, sessions)
        return writing.addCallbacks(self._wrote, self._failed, callbackArgs=(state, sessions))

    def _wrote(self, result: None, state: int, sessions: Sequence[Session]) -> None:
        self._written, self._failing = state, False
        self._log.debug("{count} sessions are kept", count=len(sessions))

    def _failed(self, failure: Failure) -> None:
        failure.trap(OSError)
        if not self._failing:
            self._failing = True
            reason = _reason(failure.value)
            self._log.warn("Sessions cannot be kept (STATE_DIR) and will be lost at the end: {reason}", reason=reason)


def _reason(error: BaseException | None) -> str:
    return os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
