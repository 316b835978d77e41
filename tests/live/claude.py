"""
The Claude backend on real processes, for the live tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import deferLater
from zope.interface import implementer

from claudeproxy.backends.claude.backend import ClaudeBackend
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.config import Config, load
from claudeproxy.core.chat import ChatRequest, Message, Role, TurnSettings
from claudeproxy.core.events import Finished, ReasoningDelta, StreamEvent, TextDelta, TurnHead, UsageReport
from claudeproxy.core.sessions import Session
from claudeproxy.interfaces import IEventSink
from claudeproxy.service import claude_backend
from claudeproxy.store.sessions import MemorySessionStore

__all__ = ["LiveBackend", "Make", "RecordingSink", "alive", "chat", "said", "until"]


@implementer(IEventSink)
@define(eq=False)
class RecordingSink:
    """
    An event sink that keeps everything, and can be slow.
    """

    head: TurnHead | None = None
    events: list[StreamEvent] = field(factory=list)
    producer: IPushProducer | None = None
    flowing: bool = False
    on_event: Callable[[StreamEvent], None] = lambda event: None

    def started(self, head: TurnHead) -> None:
        self.head = head

    def event(self, event: StreamEvent) -> None:
        self.events.append(event)
        self.on_event(event)

    def flow_from(self, producer: IPushProducer) -> None:
        self.producer, self.flowing = producer, True

    def flow_ended(self) -> None:
        self.flowing = False

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def finished(self) -> Finished:
        (finished,) = [event for event in self.events if isinstance(event, Finished)]
        return finished

    @property
    def usage(self) -> UsageReport:
        (usage,) = [event for event in self.events if isinstance(event, UsageReport)]
        return usage

    def first_event(self) -> Deferred[StreamEvent]:
        """Fire with the next event."""
        arrived: Deferred[StreamEvent] = Deferred()

        def tell(event: StreamEvent) -> None:
            self.on_event = lambda event: None
            arrived.callback(event)

        self.on_event = tell
        return arrived


@define(eq=False)
class Spawner:
    """
    Starts processes through the reactor and keeps count of them.
    """

    _reactor: Any
    started: list[ClaudeProcess] = field(factory=list)
    pids: list[int] = field(factory=list)
    ended: int = 0
    most_at_once: int = 0

    def spawnProcess(self, process: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(process, ClaudeProcess):
            return self._reactor.spawnProcess(process, *args, **kwargs)
        tell_pool = process.on_ended

        def ended(process: ClaudeProcess) -> None:
            self.ended += 1
            tell_pool(process)

        process.on_ended = ended
        self.started.append(process)
        self.most_at_once = max(self.most_at_once, len(self.started) - self.ended)
        transport = self._reactor.spawnProcess(process, *args, **kwargs)
        self.pids.append(transport.pid)
        return transport


@define(eq=False)
class LiveBackend:
    """
    A backend, its pool and its processes.
    """

    backend: ClaudeBackend
    clock: Any
    """The reactor."""
    spawner: Spawner
    cli: str
    """Its path."""
    sessions: MemorySessionStore

    @classmethod
    def make(cls, reactor: Any, environ: Mapping[str, str], known: Iterable[Session] = ()) -> LiveBackend:
        """A backend configured by ``environ`` alone, with sessions of before; its CLI sees this process's PATH."""
        config = configured(**environ)
        spawner = Spawner(reactor)
        sessions = MemorySessionStore(reactor, config.sessions.ttl, config.sessions.max_age, config.sessions.max_bytes)
        for session in known:
            sessions.put(session)
        backend = claude_backend(reactor, spawner, config, os.environ, sessions)
        return cls(backend, reactor, spawner, config.claude.path, sessions)

    @property
    def started(self) -> int:
        """How many processes were started."""
        return len(self.spawner.started)

    @property
    def most_at_once(self) -> int:
        """How many there were at the same time, at most."""
        return self.spawner.most_at_once

    def start(self) -> None:
        """Begin to keep processes waiting."""
        self.backend.start()

    def stop(self) -> Deferred[None]:
        """End all processes."""
        return self.backend.stop()

    async def all_ended(self, within: float = 60.0) -> None:
        """Wait until no process is left."""
        await self.ended_count(self.started, within)

    async def ended_count(self, count: int, within: float = 60.0) -> None:
        """Wait until so many processes have ended."""
        await until(self.clock, lambda: self.spawner.ended >= count, within)

    async def warm(self, count: int) -> None:
        """Wait until so many processes wait, booted."""
        await until(
            self.clock,
            lambda: self.backend.health().warm == count and all(process.booted for process in self.spawner.started),
        )

    def pids_alive(self) -> list[int]:
        """The processes that run, by the kernel's word."""
        return [pid for pid in self.spawner.pids if alive(pid)]


Make = Callable[..., LiveBackend]
"""Makes a backend on the real CLI, configured by keywords besides."""


async def until(reactor: Any, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition that nothing announces; fail when it does not come."""
    deadline = reactor.seconds() + seconds
    while not condition():
        assert reactor.seconds() < deadline, "the condition did not come true in time"
        await deferLater(reactor, 0.01, lambda: None)


def configured(**environ: str) -> Config:
    """A configuration from nothing but ``environ``."""
    return load({}, environ)


def chat(*texts: str, system: str = "", model: str = "sonnet", **fields: Any) -> ChatRequest:
    """A request whose messages alternate, the user's first and last."""
    roles = (Role.USER, Role.ASSISTANT)
    return ChatRequest(
        model=model,
        backend_model=model,
        messages=tuple(Message(roles[index % 2], text) for index, text in enumerate(texts)),
        system=system,
        **{"settings": TurnSettings(), "tenant": "t", **fields},
    )


def said(request: Any) -> list[tuple[str, str]]:
    """The messages of a recorded request as (role, text), the CLI's own notes of role system left out."""
    return [
        (message["role"], block if isinstance(block, str) else block["text"])
        for message in request.body["messages"]
        if message["role"] != "system"
        for block in ([message["content"]] if isinstance(message["content"], str) else message["content"])
    ]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
