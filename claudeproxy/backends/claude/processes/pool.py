"""
All CLI processes of the daemon: waiting, working, resting, ending; never more than the limit.

A process *waits*, booted and never used, until a conversation takes it. Then it *works* while a turn runs and *rests*
between turns, and it never serves another conversation. Its place is free when it has *ended*, pipes and all.

The invariant, after every change: waiting + working + resting + ending <= max_processes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.backends.claude.processes.caps import Caps
from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.process import ClaudeProcess
from claudeproxy.backends.claude.processes.version import VersionCheck
from claudeproxy.config import ClaudeConfig
from claudeproxy.errors import BackendUnavailable, CapacityExceeded, ClaudeProxyError, ServerShuttingDown

__all__ = ["Pool", "PoolCounts"]

_REFILL_DELAY = 0.2
"""Seconds after which a taken process is replaced: a start costs 0.4 s of CPU, which the turn just begun needs more."""
_FUNCTIONS_EXPECTED = 3600.0
"""Seconds after a conversation with functions in which processes prepare for another one, which takes 40 ms of CPU."""
_FIRST_RETRY = 0.5
_LONGEST_RETRY = 60.0
_MOST_DOUBLINGS = 7


@frozen
class PoolCounts:
    """
    Where the processes are.
    """

    waiting: int
    working: int
    resting: int
    ending: int
    queued: int
    """Conversations that wait for a place."""
    parked: int = 0
    """Of the resting: those that wait for what a client's functions return."""


@define(eq=False)
class Pool:
    """
    Hands out processes, and keeps a few waiting.
    """

    _log = Logger()

    _config: ClaudeConfig
    _launcher: Launcher
    _spawner: IReactorProcess
    _clock: IReactorTime
    limits: UsageLimits
    """Of the account, as the processes tell them."""
    version: str | None = field(init=False, default=None)
    """The CLI's version, once it has said it."""
    failure: str | None = field(init=False, default=None)
    """Why the last process did not start; None while they do."""
    _waiting: list[ClaudeProcess] = field(init=False, factory=list)
    _working: set[ClaudeProcess] = field(init=False, factory=set)
    _resting: dict[ClaudeProcess, Callable[[], None]] = field(init=False, factory=dict)
    """In the order in which they came to rest, with what to call when one goes."""
    _ending: set[ClaudeProcess] = field(init=False, factory=set)
    _timers: dict[ClaudeProcess, IDelayedCall] = field(init=False, factory=dict)
    _queue: deque[Deferred[ClaudeProcess]] = field(init=False, factory=deque)
    _refill: IDelayedCall | None = field(init=False, default=None)
    _failures: int = field(init=False, default=0)
    _stopping: bool = field(init=False, default=False)
    _functions_until: float = field(init=False)
    """When conversations have had no functions for so long that the next one is taken to have none."""
    _empty: list[Deferred[None]] = field(init=False, factory=list)
    _check: VersionCheck = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._check = VersionCheck(self._launcher, self._spawner, self._clock)
        self._functions_until = self._clock.seconds() + _FUNCTIONS_EXPECTED

    # -- Conversations ask ----------------------------------------------------

    def take(self, *, with_functions: bool = True) -> Deferred[ClaudeProcess]:
        """
        Return a never-used process, which counts as working from then on.

        It may have to wait for a place; then the process that rested longest goes. Fails with CapacityExceeded,
        BackendUnavailable or ServerShuttingDown. Cancelling it leaves the queue.

        :param with_functions: whether the conversation has functions; then others are taken to have some, for a while.
        """
        if with_functions:
            self._functions_until = self._clock.seconds() + _FUNCTIONS_EXPECTED
        granted: Deferred[ClaudeProcess] = Deferred(self._queue.remove)
        self._queue.append(granted)
        granted.addTimeout(self._config.queue_timeout, self._clock, self._full)
        self._serve()
        return granted

    def rest(self, process: ClaudeProcess, gone: Callable[[], None]) -> None:
        """
        The turn is over; the process stays for the conversation's next one, as long as its place is not needed.

        :param gone: called when it goes before anyone wakes it; at once, when it cannot stay.
        """
        self._working.discard(process)
        self._started_well(process)
        if self._stopping or not process.usable:
            self.discard(process)
            gone()
            return
        self._resting[process] = gone
        self._after(process, self._config.idle_process_ttl)
        self._serve()

    def wake(self, process: ClaudeProcess) -> bool:
        """
        Take a resting process for another turn; False when it is gone or going.
        """
        if process not in self._resting or not process.usable:
            return False
        del self._resting[process]
        self._forget(process)
        self._working.add(process)
        return True

    def discard(self, process: ClaudeProcess) -> None:
        """
        End a process. More calls change nothing.
        """
        if process.over or process in self._ending:
            return
        self._forget(process)
        self._ending.add(process)
        process.end()

    async def explained(self, error: BackendUnavailable) -> BackendUnavailable:
        """
        Return the error of a process that did not start, with a word on the CLI's version when that may be the reason.
        """
        remark = await self._check.remark()
        self.version = self._check.found or self.version
        return BackendUnavailable(f"{error.message}{remark}", retry_after=error.retry_after, permanent=error.permanent)

    # -- Operation ------------------------------------------------------------

    def start(self) -> None:
        """
        Begin to keep processes waiting.
        """
        self._top_up()

    def stop(self) -> Deferred[None]:
        """
        End every process; fires when nothing is left of any.
        """
        self._stopping = True
        self._cancel_refill()
        self._check.stop()
        while self._queue:
            self._queue.popleft().errback(ServerShuttingDown("The server is shutting down."))
        for process in [*self._waiting, *self._working, *self._resting]:
            self.discard(process)
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        self._tell_empty()
        return done

    def kill(self) -> None:
        """
        Kill every process now, and do not wait for their end.
        """
        self._check.stop()
        for process in [*self._waiting, *self._working, *self._resting, *self._ending]:
            process.kill()
            process.launch.clean_up()

    def counts(self) -> PoolCounts:
        """
        Where the processes are now.
        """
        return PoolCounts(
            waiting=len(self._waiting),
            working=len(self._working),
            resting=len(self._resting),
            ending=len(self._ending),
            queued=len(self._queue),
            parked=sum(process.parking.waits for process in self._resting),
        )

    # -- Internals ------------------------------------------------------------

    @property
    def _total(self) -> int:
        return len(self._waiting) + len(self._working) + len(self._resting) + len(self._ending)

    def _serve(self) -> None:
        """
        Grant what can be granted, in order, and make room for the rest.
        """
        while self._queue:
            try:
                process = self._next()
            except ClaudeProxyError as error:
                self._queue.popleft().errback(Failure(error))
                continue
            if process is None:
                self._make_room()
                break
            self._forget(process)
            self._working.add(process)
            self._queue.popleft().callback(process)
        self._refill_soon()

    def _next(self) -> ClaudeProcess | None:
        if self._stopping:
            raise ServerShuttingDown("The server is shutting down.")
        # The one that has waited longest has surely booted.
        for process in self._waiting:
            if process.usable:
                return process
        return self._spawn() if self._total < self._config.max_processes else None

    def _make_room(self) -> None:
        """
        End as many processes as conversations wait, those first that are missed least.
        """
        missing = len(self._queue) - len(self._ending)
        for process in [*self._waiting, *self._resting][: max(0, missing)]:
            self.discard(process)

    def _full(self, result: object, timeout: float) -> ClaudeProcess:
        limit = self._config.max_processes
        raise CapacityExceeded(
            f"All {limit} Claude Code processes are busy and none came free within {timeout:g} s.", retry_after=timeout
        )

    def _spawn(self) -> ClaudeProcess:
        """
        Start a process; the caller gives it its place.

        :raises BackendUnavailable: it cannot be started.
        """
        if not self._config.has_credentials:
            raise BackendUnavailable(
                "Claude Code has no credentials here. The operator must set ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, "
                "CLAUDE_CODE_OAUTH_TOKEN or CLAUDE_LOGIN.",
                permanent=True,
            )
        cli = self._launcher.locate()
        if cli is None:
            raise self._cannot_start(f"CLAUDE_PATH is {self._config.path!r}, and there is no such program")
        try:
            launch = self._launcher.prepare(cli)
        except OSError as error:
            # The words of some name directories.
            reason = f"no working directory for it ({os.strerror(error.errno or 0)})"
            raise self._cannot_start(reason, permanent=False) from error
        caps = Caps(self._config.max_output_bytes, self._config.max_line_bytes, self._config.max_stderr_bytes)
        process = ClaudeProcess(launch, caps, self._clock, self.limits, self._ended, self._config.start_timeout)
        try:
            self._spawner.spawnProcess(
                process,
                launch.arguments[0],
                launch.arguments,
                env=dict(launch.environment),
                path=str(launch.working_directory),
            )
        except Exception as error:
            self._log.failure("Claude Code cannot be started")
            launch.clean_up()
            raise self._cannot_start(f"Claude Code cannot be started ({type(error).__name__})") from error
        return process

    def _cannot_start(self, reason: str, *, permanent: bool = True) -> BackendUnavailable:
        self.failure = reason
        return BackendUnavailable(f"Claude Code is not available: {reason}.", permanent=permanent)

    def _started_well(self, process: ClaudeProcess) -> None:
        self.version = process.version or self.version
        self.failure = None
        if self._failures:
            self._failures = 0
            self._cancel_refill()
            self._refill_soon()

    def _ended(self, process: ClaudeProcess) -> None:
        # One that a conversation took before it could show that it lives is no better.
        failed = process in self._waiting or process.silent or (process in self._working and not process.booted)
        self._forget(process)
        self._ending.discard(process)
        if failed and not self._stopping:
            self._failures += 1
            self.failure = f"Claude Code does not start: {process.exit_status}"
            ensureDeferred(self._tell(self.failure, self._failures, process.stderr_end()))
        self._tell_empty()
        if not self._stopping:
            self._serve()

    async def _tell(self, failure: str, failures: int, stderr: str) -> None:
        """
        Tell the operator that the CLI does not start.
        """
        try:
            error = await self.explained(BackendUnavailable(f"{failure}."))
        except CancelledError:
            return  # the pool stops
        self._log.warn(
            "{failure} (attempt {failures}) {stderr}", failure=error.message, failures=failures, stderr=stderr
        )

    def _forget(self, process: ClaudeProcess) -> None:
        """
        Take a process from wherever it stands, its timer with it.
        """
        if process in self._waiting:
            self._waiting.remove(process)
        self._working.discard(process)
        gone = self._resting.pop(process, None)
        if gone is not None:
            gone()
        timer = self._timers.pop(process, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _after(self, process: ClaudeProcess, seconds: float) -> None:
        self._timers[process] = self._clock.callLater(seconds, self.discard, process)

    def _tell_empty(self) -> None:
        if self._total == 0:
            waiters, self._empty = self._empty, []
            for done in waiters:
                done.callback(None)

    # -- Keeping processes waiting --------------------------------------------

    def _refill_soon(self) -> None:
        if self._stopping or (self._refill is not None and self._refill.active()):
            return
        delay = _REFILL_DELAY
        if self._failures:
            # A number with thousands of digits would be no delay any more.
            delay = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** min(self._failures - 1, _MOST_DOUBLINGS))
        self._refill = self._clock.callLater(delay, self._top_up)

    def _cancel_refill(self) -> None:
        if self._refill is not None and self._refill.active():
            self._refill.cancel()

    def _give_up_resting(self) -> None:
        """
        End the process that rested longest, for one that waits: a few must, or every new conversation starts cold.

        Conversations keep half of the places in any case, and one that lost its process resumes in a waiting one.
        """
        reserved = min(self._config.warm_processes, self._config.max_processes // 2)
        if self._resting and len(self._waiting) + len(self._ending) < reserved:
            self.discard(next(iter(self._resting)))

    def _top_up(self) -> None:
        """
        Start what is missing; never while a conversation waits for a place.
        """
        if self._stopping or self._queue or not self._config.has_credentials:
            return
        while len(self._waiting) < self._config.warm_processes:
            if self._total >= self._config.max_processes:
                self._give_up_resting()
                return
            try:
                process = self._spawn()
            except BackendUnavailable:
                self._failures += 1
                self._refill_soon()
                return
            expected = self._clock.seconds() < self._functions_until
            process.boot(partial(self._started_well, process), with_functions=expected)
            self._waiting.append(process)
            self._after(process, self._config.max_process_age)
