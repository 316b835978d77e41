"""
The guard behind every test: green over red logs is red.

pytest-twisted lets a test pass although it logged failures, dropped failing Deferreds, or left timers, sockets or
children behind. The guard, an autouse fixture of ``conftest.py``, fails such a test. A test that expects a failure in
the log takes the fixture ``logged_failures`` and flushes it.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import define, field, frozen
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, eventAsText, globalLogPublisher
from twisted.python.failure import Failure

GRACE = 1.0
"""Seconds in which what is already on its way out may still leave: a closing socket, a child being reaped."""

_MANY = 20_000
"""Objects beyond which a collection takes more time than most tests."""


@frozen
class LoggedFailure:
    """
    One event of the log that would have gone unnoticed.
    """

    failure: Failure | None
    text: str


@define
class LoggedFailures:
    """
    What a test logged at level critical or with a failure; whatever is not flushed fails the test.
    """

    _seen: list[LoggedFailure] = field(factory=list)

    def __call__(self, event: dict[str, Any]) -> None:
        """
        Observe one log event.
        """
        failure = event.get("log_failure")
        if failure is not None or event.get("log_level") is LogLevel.critical:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
            if event.get("log_namespace") == "twisted.internet.defer":
                if failure is None:
                    return  # the headline of an unhandled error, which is the next event
                text = f"Unhandled error in Deferred: {text}"
            self._seen.append(LoggedFailure(failure, text))

    def flush(self, *types: type[BaseException]) -> list[LoggedFailure]:
        """
        Return what was logged so far, only failures of ``types`` when given, and forget it.
        """
        gc.collect()  # an unhandled Deferred logs when it is collected
        flushed = [each for each in self._seen if not types or (each.failure and each.failure.check(*types))]
        self._seen = [each for each in self._seen if each not in flushed]
        return flushed


@define(init=False)
class Guard:
    """
    Compares what the reactor and the operating system hold before and after a test.
    """

    failures: LoggedFailures
    _reactor: Any
    _calls: set[int]
    _selectables: set[int]
    _children: set[int]

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.failures = LoggedFailures()
        self._calls = {id(call) for call in reactor.getDelayedCalls()}
        self._selectables = {id(each) for each in _selectables(reactor)}
        self._children = set(_children())
        globalLogPublisher.addObserver(self.failures)

    def verdict(self) -> list[str]:
        """
        End the watch and return what is wrong, each in a sentence; empty when the test is clean.
        """
        try:
            self._settle()
            wrong = [f"logged: {each.text}" for each in self.failures.flush()]
        finally:
            globalLogPublisher.removeObserver(self.failures)
            if len(gc.get_objects()) > _MANY:
                # What is left now is not the test's, but what it was the first to import: not to be searched each time.
                gc.freeze()
        for call in self._new_calls():
            wrong.append(f"left a delayed call: {call}")
            call.cancel()
        for selectable in self._new_selectables():
            wrong.append(f"left open: {selectable!r}")
            self._reactor.removeReader(selectable)
            self._reactor.removeWriter(selectable)
        for pid, name in self._new_children().items():
            wrong.append(f"left the process {pid}: {name}")
            os.kill(pid, signal.SIGKILL)
        return wrong

    def _settle(self) -> None:
        deadline = self._reactor.seconds() + GRACE
        while self._leftovers() and self._reactor.seconds() < deadline:
            pytest_twisted.blockon(deferLater(self._reactor, 0.01))

    def _leftovers(self) -> bool:
        return bool(self._new_calls() or self._new_selectables() or self._new_children())

    def _new_calls(self) -> list[Any]:
        return [call for call in self._reactor.getDelayedCalls() if id(call) not in self._calls]

    def _new_selectables(self) -> list[Any]:
        return [each for each in _selectables(self._reactor) if id(each) not in self._selectables]

    def _new_children(self) -> dict[int, str]:
        return {pid: name for pid, name in _children().items() if pid not in self._children}


def _selectables(reactor: Any) -> Iterable[Any]:
    own = reactor._internalReaders
    return {id(each): each for each in (*reactor.getReaders(), *reactor.getWriters()) if each not in own}.values()


def _children() -> dict[int, str]:
    """Return the children of this process, zombies included, by pid; empty where there is no /proc."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, listing.read_text().split()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found[pid] = command.strip()[:200] or "a zombie"
    return found
