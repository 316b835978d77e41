"""
The daemon as a user starts it, in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.live.claude import alive, until

__all__ = ["Daemon", "Exit", "refuses"]

_LISTENING = re.compile(r"listening at ((?:https?://|unix:)[^\s\"]+)")


@define
class Exit:
    """
    How a process ended.
    """

    code: int | None
    signal: int | None
    out: str
    err: str


@define(eq=False, slots=False)
class Daemon(ProcessProtocol):
    """
    ``twist claudeproxy``, listening at a free port of loopback unless told otherwise.
    """

    reactor: Any
    pid: int = 0
    out: str = ""
    err: str = ""
    children: set[int] = field(factory=set)
    """Every process that it was seen to have."""
    state: TemporaryDirectory[str] = field(factory=TemporaryDirectory)
    """Where it keeps what outlives it, unless told otherwise."""
    _out_decoder: IncrementalDecoder = field(factory=getincrementaldecoder("utf-8"))
    _err_decoder: IncrementalDecoder = field(factory=getincrementaldecoder("utf-8"))
    _ended: Exit | None = None
    _waiting: list[Deferred[Exit]] = field(factory=list)

    @classmethod
    def start(
        cls,
        reactor: Any,
        environ: Mapping[str, str],
        *arguments: str,
        terminal: bool = False,
        listening: socket | None = None,
        stdout: int | None = None,
    ) -> Daemon:
        """
        Start it with these settings and nothing else of this process's environment but its PATH.

        :param terminal: in a terminal of its own.
        :param listening: handed over to it, as systemd does.
        :param stdout: a file that it writes to; then nothing of it is seen here.
        """
        daemon = cls(reactor)
        command = [sys.executable, "-m", "twisted", "claudeproxy", *arguments]
        options: dict[str, Any] = {"usePTY": terminal}
        if stdout is not None:
            options["childFDs"] = {0: "w", 1: stdout, 2: "r"}
        where = {} if "LISTEN" in environ else {"PORT": "0"}
        if listening is not None:
            command = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
            options["childFDs"] = {0: "w", 1: "r", 2: "r", 3: listening.fileno()}
            where |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        transport = reactor.spawnProcess(
            daemon,
            command[0],
            command,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "STATE_DIR": daemon.state.name,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path[1:]]),
                **where,
                **environ,
            },
            **options,
        )
        daemon.pid = transport.pid
        return daemon

    async def url(self) -> str:
        """Where it listens first, once it does."""
        await until(self.reactor, lambda: self._ended is not None or _LISTENING.search(self.out) is not None)
        found = _LISTENING.search(self.out)
        assert found is not None, f"it did not start: {self.err}"
        return found.group(1)

    def urls(self) -> list[str]:
        """Where it listens, as far as it has said so; a path is left out of its log."""
        return _LISTENING.findall(self.out)

    def look(self) -> set[int]:
        """Note the processes that it has now, and return those of the CLI that still run."""
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            self.children |= {int(pid) for pid in children.read_text().split()}
        return {pid for pid in self.children if alive(pid)}

    def kill(self, number: int = signal.SIGTERM) -> Deferred[Exit]:
        """Send a signal; fires when it has ended."""
        self.look()
        self.transport.signalProcess(number)  # type: ignore[union-attr,arg-type]
        return self.ended()

    def hang_up(self) -> None:
        """Close its terminal."""
        self.transport.loseConnection()  # type: ignore[union-attr]

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._ended is not None

    async def is_gone(self) -> None:
        """Kill it if it still runs; nothing of it may be left then."""
        if not self.has_ended:
            self.look()
            with suppress(ProcessExitedAlready):  # but its pipes are not closed yet
                self.transport.signalProcess(signal.SIGKILL)  # type: ignore[union-attr]
            await self.ended()
        await until(self.reactor, lambda: not self.look())

    def ended(self) -> Deferred[Exit]:
        """Fire when it has ended."""
        waiting: Deferred[Exit] = Deferred()
        if self._ended is not None:
            waiting.callback(self._ended)
        else:
            self._waiting.append(waiting)
        return waiting

    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.out.split("\n") if line.startswith("{")]

    def outReceived(self, data: bytes) -> None:
        self.out += self._out_decoder.decode(data)

    def errReceived(self, data: bytes) -> None:
        self.err += self._err_decoder.decode(data)

    def processExited(self, reason: Failure) -> None:
        pass

    def processEnded(self, reason: Failure) -> None:
        assert isinstance(reason.value, ProcessDone | ProcessTerminated)
        self.state.cleanup()
        self._ended = Exit(reason.value.exitCode, reason.value.signal, self.out, self.err)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(self._ended)


def refuses(url: str) -> bool:
    """Whether nothing listens there any more."""
    with socket() as client:
        return client.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0
