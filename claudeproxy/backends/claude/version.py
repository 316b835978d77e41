"""
Which CLI this is, asked when one does not start: the one question that every version answers.

A CLI that is too old for our arguments exits at once, and one that speaks another protocol says nothing that we
understand. Neither says why, so the version stands beside the error.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from claudeproxy.backends.claude.environment import Launcher
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
    """

    _launcher: Launcher
    _spawner: IReactorProcess
    _clock: IReactorTime
    found: str | None = field(init=False, default=None)
    """What the last CLI that was asked said."""
    _known: tuple[object, ...] | None = field(init=False, default=None)
    """The file that said it."""
    _stopped: bool = field(init=False, default=False)
    _asking: set[Deferred[str | None]] = field(init=False, factory=set)

    async def remark(self) -> str:
        """
        Return a sentence on the CLI's version; nothing when it is the one that the daemon is tested with.
        """
        cli = self._launcher.locate()
        if cli is None or self._stopped:
            return ""
        try:
            file = os.stat(cli)
        except OSError:
            return ""
        identity = (cli, file.st_ino, file.st_mtime_ns)
        if identity != self._known:
            self.found = await self._ask(cli)
            self._known = identity
        if self.found is None or self.found == TESTED_VERSION:
            return ""
        return f" It is version {self.found}, and claudeproxy is tested with {TESTED_VERSION}."

    def stop(self) -> None:
        """
        Ask no more.
        """
        self._stopped = True
        for answer in tuple(self._asking):
            answer.cancel()

    def _ask(self, cli: str) -> Deferred[str | None]:
        answer: Deferred[str | None] = Deferred(lambda _: question.give_up())
        question = _Question(answer, self._clock)
        self._asking.add(answer)
        arguments = self._launcher.version_arguments(cli)
        try:
            self._spawner.spawnProcess(question, arguments[0], arguments, env={"PATH": os.defpath, "HOME": "/"})
        except OSError:
            answer.callback(None)

        def over(result: str | Failure | None) -> str | Failure | None:
            self._asking.discard(answer)
            return result

        return answer.addBoth(over)


@define(eq=False, slots=False)
class _Question(ProcessProtocol):
    """
    The ``ProcessProtocol`` of one ``claude --version``.
    """

    _answer: Deferred[str | None]
    _clock: IReactorTime
    _out: bytes = field(init=False, default=b"")
    _timer: IDelayedCall = field(init=False)
    _process: IProcessTransport = field(init=False)

    def connectionMade(self) -> None:
        """See ``ProcessProtocol``."""
        self._process = cast(IProcessTransport, self.transport)
        self._timer = self._clock.callLater(_TIME_LIMIT, self.give_up)

    def give_up(self) -> None:
        """End it, whatever it does."""
        if self._timer.active():
            self._timer.cancel()
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")
        self._process.loseConnection()

    def outReceived(self, data: bytes) -> None:
        """See ``ProcessProtocol``."""
        self._out = (self._out + data)[:_LONGEST]

    def processEnded(self, reason: Failure) -> None:
        """See ``ProcessProtocol``."""
        if self._timer.active():
            self._timer.cancel()
        if not self._answer.called:
            said = _VERSION.search(self._out)
            self._answer.callback(None if said is None else said.group().decode("ascii"))
