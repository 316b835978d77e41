"""
Processes of the CLI that exist only in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from claudeproxy.backends.claude.processes.process import ClaudeProcess

__all__ = ["Process", "Spawner"]


@define(eq=False)
class Process:
    """
    The transport of a CLI that does what a test says: it grants every control request, waits with its answers to be
    told, and ends a moment after its stdin is closed.
    """

    clock: Clock
    protocol: ProcessProtocol
    pid: int
    session_id: str
    turns: int = 0
    """User messages that it has not answered."""
    gone: bool = False
    exited: bool = False
    paused: bool = False
    """Nobody reads what it writes."""
    cost: float | None = None
    """What it says that it has cost; None when it does not answer that."""
    asked: list[str] = field(factory=list)
    """The kinds of control requests that it got."""
    _unread: bytes = b""

    # -- What a test tells it -------------------------------------------------

    def answer(self, text: str) -> None:
        """Answer a turn with one delta."""
        self.say(type="system", subtype="init", session_id=self.session_id)
        self.say(type="stream_event", event={"type": "message_start", "message": {"usage": {"input_tokens": 1}}})
        delta = {"type": "text_delta", "text": text}
        self.say(type="stream_event", event={"type": "content_block_delta", "index": 0, "delta": delta})
        self.finish(is_error=False, result=text, stop_reason="end_turn")

    def call(self, *names: str) -> None:
        """Call functions."""
        self.say(type="system", subtype="init", session_id=self.session_id)
        self.say(type="stream_event", event={"type": "message_start", "message": {"usage": {"input_tokens": 1}}})
        for name in names:
            block = {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}}
            self.say(type="stream_event", event={"type": "content_block_start", "index": 0, "content_block": block})
        event = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}
        self.say(type="stream_event", event=event)

    def refuse(self, status: int) -> None:
        """End a turn with an error of the API."""
        self.finish(is_error=True, result="scripted", api_error_status=status)

    def finish(self, **fields: Any) -> None:
        """End a turn."""
        self.turns -= 1
        self.say(type="result", subtype="success", session_id=self.session_id, total_cost_usd=0.0, **fields)

    def say(self, **line: Any) -> None:
        """Write one line."""
        if not (self.gone or self.exited):
            self.protocol.childDataReceived(1, json.dumps(line).encode() + b"\n")

    def exit(self) -> None:
        """Exit, while somebody holds its pipes open."""
        if not (self.gone or self.exited):
            self.exited = True
            self.protocol.processExited(Failure(ProcessDone(None)))

    def end(self) -> None:
        """End."""
        if not self.gone:
            self.gone = True
            reason = Failure(ProcessDone(None))
            if not self.exited:
                self.protocol.processExited(reason)
            self.protocol.processEnded(reason)

    def ask(self) -> None:
        """Start and end at once, without a word."""
        self.protocol.makeConnection(self)  # type: ignore[arg-type]
        self.end()

    # -- What the daemon does to it -------------------------------------------

    def write(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in map(json.loads, lines):
            if line["type"] == "user":
                self.turns += 1
            elif line["type"] == "control_request":
                self.asked.append(line["request"]["subtype"])
                payload: dict[str, Any] = {}
                if line["request"]["subtype"] == "get_usage":
                    if self.cost is None:
                        continue
                    payload = {"session": {"total_cost_usd": self.cost}}
                response = {"subtype": "success", "request_id": line["request_id"], "response": payload}
                self.clock.callLater(0.01, self.say, type="control_response", response=response)

    def closeStdin(self) -> None:
        if not self.exited:
            self.clock.callLater(0.04, self.end)

    def loseConnection(self) -> None:
        self.end()

    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def signalProcess(self, signalID: int) -> None: ...


@define(eq=False)
class Spawner:
    """
    Starts such processes; their ids are those of none that runs.
    """

    clock: Clock
    processes: list[Process] = field(factory=list)
    broken: bool = False
    """Whether nothing can be started just now."""

    def spawnProcess(
        self, protocol: ProcessProtocol, executable: str, args: Sequence[str], env: Mapping[str, str], path: str = ""
    ) -> Any:
        if self.broken:
            raise OSError("no more processes")
        if not isinstance(protocol, ClaudeProcess):
            # The question for the version of a CLI that died; this one has none.
            Process(self.clock, protocol, 0, "").ask()
            return None
        (session_id,) = (arg.partition("=")[2] for arg in args if arg.startswith(("--session-id=", "--resume=")))
        process = Process(self.clock, protocol, 2**30 + len(self.processes), session_id)
        self.processes.append(process)
        protocol.makeConnection(process)  # type: ignore[arg-type]
        return process

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.gone]
