"""
Which CLI this is, asked when one does not start: the one question that every version answers.

A CLI that is too old for our arguments exits at once, and one that speaks another protocol says nothing that we
understand. Neither says why, so the version stands beside the error.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.reaper import signal_group
from claudeproxy.wire.claude_cli import TESTED_VERSION

__all__ = ["VersionCheck"]

_TIME_LIMIT = 5.0
"""Seconds that it may take; the real one takes 0.2."""
_LONGEST = 1000
"""Bytes of the answer that are looked at."""
_VERSION = re.compile(rb"\d+(?:\.\d+)+")


@define(eq=False)
class VersionCheck:
    """
    Asks, and remembers the answer for as long as the file is the same.

    At most one process asks at a time, for all that want to know: when a CLI fails, many do.
    """

    _log = Logger()

    _launcher: Launcher
    _spawner: IReactorProcess
    _clock: IReactorTime
    found: str | None = field(init=False, default=None)
    """What the last CLI that was asked said."""
    _known: tuple[object, ...] | None = field(init=False, default=None)
    """The file that said it."""
    _stopped: bool = field(init=False, default=False)
    _question: _Question | None = field(init=False, default=None)
    """The one that runs."""
    _waiting: set[Deferred[None]] = field(init=False, factory=set)
    """Each has its own, so that one that leaves takes nobody with it."""

    async def remark(self) -> str:
        """
        Return a sentence on the CLI's version; nothing when it is the one that the daemon is tested with.
        """
        cli = self._launcher.locate()
        if cli is None:
            return ""
        try:
            file = os.stat(cli)
        except OSError:
            return ""
        identity = (cli, file.st_ino, file.st_mtime_ns)
        # Again, if what was being asked was another file.
        while identity != self._known and not self._stopped:
            answered: Deferred[None] = Deferred(self._waiting.discard)
            self._waiting.add(answered)
            if self._question is None:
                self._ask(cli, identity)
            await answered
        if self._stopped or self.found is None or self.found == TESTED_VERSION:
            return ""
        return f" It is version {self.found}, and claudeproxy is tested with {TESTED_VERSION}."

    def stop(self) -> None:
        """
        Ask no more, and end the process that asks.
        """
        self._stopped = True
        if self._question is not None:
            self._question.give_up()
        self._tell()

    def _ask(self, cli: str, identity: tuple[object, ...]) -> None:
        def over(found: str | None) -> None:
            self._question = None
            self.found, self._known = found, identity
            self._tell()

        self._question = question = _Question(over, self._clock)
        arguments = self._launcher.version_arguments(cli)
        try:
            self._spawner.spawnProcess(question, arguments[0], arguments, env={"PATH": os.defpath, "HOME": "/"})
        except OSError:
            over(None)
        except Exception:
            self._log.failure("Cannot ask for the version of Claude Code")
            over(None)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for answered in waiting:
            answered.callback(None)


@define(eq=False, slots=False)
class _Question(ProcessProtocol):
    """
    The ``ProcessProtocol`` of one ``claude --version``.
    """

    _over: Callable[[str | None], None]
    """Called once, when nothing of it is left."""
    _clock: IReactorTime
    _out: bytes = field(init=False, default=b"")
    _timer: IDelayedCall = field(init=False)
    _process: IProcessTransport = field(init=False)
    _pid: int = field(init=False)

    def connectionMade(self) -> None:
        """See ``ProcessProtocol``."""
        self._process = cast(IProcessTransport, self.transport)
        self._pid = self._process.pid
        self._timer = self._clock.callLater(_TIME_LIMIT, self.give_up)

    def give_up(self) -> None:
        """End it and what it has started, whatever they do."""
        if self._timer.active():
            self._timer.cancel()
        signal_group(self._process, self._pid, signal.SIGKILL)
        self._process.loseConnection()

    def outReceived(self, data: bytes) -> None:
        """See ``ProcessProtocol``."""
        self._out = (self._out + data)[:_LONGEST]

    def processEnded(self, reason: Failure) -> None:
        """See ``ProcessProtocol``."""
        if self._timer.active():
            self._timer.cancel()
        said = _VERSION.search(self._out)
        self._over(None if said is None else said.group().decode("ascii"))
