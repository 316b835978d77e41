"""
The composition root: a configuration and a reactor become the daemon.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import define
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFromThreads,
    IReactorProcess,
    IReactorSSL,
    IReactorTCP,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.backends.claude.answers.usage_limits import UsageLimits
from claudeproxy.backends.claude.backend import ClaudeBackend
from claudeproxy.backends.claude.conversations import TurnLocks
from claudeproxy.backends.claude.processes.environment import Launcher
from claudeproxy.backends.claude.processes.pool import Pool
from claudeproxy.backends.images.fetcher import ImageFetcher
from claudeproxy.backends.openai.client import UpstreamClient, hostname_endpoints
from claudeproxy.backends.openai.relay import OpenAIRelay
from claudeproxy.concerns import concerns
from claudeproxy.config import Config, ConfigError
from claudeproxy.core.catalog import Catalog
from claudeproxy.core.routing import Router
from claudeproxy.interfaces import ISessionStore
from claudeproxy.ops.admission import Admission
from claudeproxy.ops.drain import Drain
from claudeproxy.ops.listen import Listeners
from claudeproxy.ops.logs import Threshold
from claudeproxy.ops.reload import Reload
from claudeproxy.ops.signals import Signals
from claudeproxy.ops.time_limits import TimeLimits
from claudeproxy.store.keeper import SessionKeeper
from claudeproxy.store.keys import ConfiguredKeys
from claudeproxy.store.session_file import SessionFile
from claudeproxy.store.sessions import MemorySessionStore
from claudeproxy.store.state_lock import StateDirInUse, StateLock
from claudeproxy.web.access_log import AccessLog
from claudeproxy.web.app import ProxyApp, make_site
from claudeproxy.web.site import ProxySite

__all__ = ["Daemon", "build", "claude_backend"]

T = TypeVar("T")

_LAST_BYTES = 1.0
"""Seconds that clients have to read the end of their answers."""
_HURRY = 1.25
"""Seconds after the requests' time at which what is left is ended without grace. TERM comes before, at 1 s."""
_GIVE_UP = 1.6
"""Seconds after it at which the daemon waits no longer for anything; those to 2 s are the interpreter's."""


class IDaemonReactor(IReactorCore, IReactorFromThreads, IReactorProcess, IReactorSSL, IReactorTCP, IReactorTime):
    """
    What the daemon needs of the reactor.
    """


@implementer(IService)
@define(eq=False, slots=False)
class Daemon(Service):
    """
    Everything that runs, and the order in which it starts and stops.

    A ``MultiService`` would stop all its children at once. Here nothing is taken from under a request: first no new
    ones, then the running ones end, and only then what served them.
    """

    _log = Logger()

    _reactor: IDaemonReactor
    _shutdown_timeout: float
    """Seconds that the requests in flight have at a stop."""
    _listeners: Listeners
    _site: ProxySite
    _drain: Drain
    _claude: ClaudeBackend
    _upstream_client: UpstreamClient
    _image_fetcher: ImageFetcher
    _concerns: Callable[[], Iterable[str]]
    """What an operator may have forgotten; the daemon starts all the same."""
    _greet: Callable[[str], str]
    """What is printed once it listens, from its first URL."""
    _keeper: SessionKeeper | None
    """What the sessions outlive the daemon by."""
    _state_lock: StateLock | None
    """Keeps a second daemon off the state directory."""
    _afterwards: Callable[[], Deferred[Any]]
    """Called at the very end of a stop."""
    _reload: Callable[[], None]
    """Reads the configuration again."""

    def startService(self) -> None:
        """
        Listen, and begin to keep processes waiting; an address that cannot be had ends the program.
        """
        super().startService()  # type: ignore[no-untyped-call]
        ensureDeferred(self._start()).addErrback(self._give_up)

    async def _start(self) -> None:
        if self._state_lock is not None:
            self._state_lock.acquire()
        urls = await self._listeners.listen(cast(Any, self._site))
        # All that the imports made stays for ever; the collector need not look at it again with every request's refuse.
        gc.collect()
        gc.freeze()
        if self._keeper is not None:
            self._keeper.start()
        self._claude.start()
        in_reactor = self._reactor.callFromThread
        signals = Signals(lambda: in_reactor(self._reactor.stop), self._claude.kill, lambda: in_reactor(self._reload))
        # Once at once, for whoever reads below that it listens; and again when the reactor has installed its own.
        signals.install()
        self._reactor.callWhenRunning(signals.install)
        for url in urls:
            self._log.info("claudeproxy is listening at {url}", url=url)
        for concern in self._concerns():
            self._log.warn("{concern}", concern=concern)
        greeting = self._greet(urls[0])
        if greeting:
            print(greeting, flush=True)

    def _give_up(self, failure: Failure) -> None:
        """
        End the program, in which nothing runs yet. Twisted has no way to say with which status it shall.
        """
        # Not sys.stderr, which is the log once the reactor runs.
        if failure.check(ConfigError, StateDirInUse):
            print(f"claudeproxy: {failure.value}", file=sys.__stderr__, flush=True)
        else:
            failure.printTraceback(sys.__stderr__)
        os._exit(1)

    def stopService(self) -> Deferred[None]:
        """
        Refuse new requests, let running ones end, and leave no process.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        # Set before anything is awaited: no step of the stop can move the end.
        hurry = self._reactor.callLater(self._shutdown_timeout + _HURRY, self._hurry)
        stopped = ensureDeferred(self._stop())
        stopped.addTimeout(self._shutdown_timeout + _GIVE_UP, self._reactor, self._late)

        def over(result: T) -> T:
            if hurry.active():
                hurry.cancel()
            return result

        return stopped.addBoth(over)

    async def _stop(self) -> None:
        self._drain.begin()
        try:
            await self._listeners.stop()
            self._site.close_idle()
            await self._drain.stop(self._shutdown_timeout)
        finally:
            # At once, or the time of the one would be lost to the other. What the last answers still have to send would
            # be lost with the reactor's end; and whatever went wrong, no process is left.
            steps = [ensureDeferred(self._say_last()), maybeDeferred(self._claude.stop), ensureDeferred(self._keep())]
            await gatherResults([step.addErrback(self._went_wrong) for step in steps])
        await self._upstream_client.close()
        await self._image_fetcher.close()
        await self._afterwards()

    async def _say_last(self) -> None:
        await self._drain.last_words(_GIVE_UP)
        await self._site.close(_LAST_BYTES)

    async def _keep(self) -> None:
        if self._keeper is not None:
            await self._keeper.stop()
        # Not if that was cut short: its thread may still be writing. Then the lock ends with the process.
        if self._state_lock is not None:
            self._state_lock.release()

    def _hurry(self) -> None:
        self._log.warn("The stop takes too long: processes are killed, and connections broken.")
        self._claude.kill()
        self._site.abort()

    def _went_wrong(self, failure: Failure) -> None:
        # The other steps are to come to their ends.
        if not failure.check(CancelledError):
            self._log.failure("A step of the stop went wrong", failure)

    def _late(self, result: object, timeout: float) -> None:
        self._log.error("Something did not end within {timeout} s; the daemon ends all the same.", timeout=timeout)


def build(
    reactor: IDaemonReactor, config: Config, read: Callable[[], Config], threshold: Threshold, *, demo: bool = False
) -> IService:
    """
    Build the daemon.

    :param read: reads the configuration again, from where ``config`` came from.
    :param threshold: what the log goes by.
    :param demo: put stubs with canned answers behind both backends.
    """
    greet: Callable[[str], str] = _no_greeting
    afterwards: Callable[[], Deferred[Any]] = _nothing
    if demo:
        # Not part of the daemon: it is loaded when it is asked for.
        from claudeproxy.testing.demo import Demo

        stubs = Demo.listen(reactor)
        config = stubs.configure(config)
        shown = config
        greet, afterwards = lambda url: stubs.greeting(url, shown), stubs.stop
    sessions = MemorySessionStore(reactor, config.sessions.ttl, config.sessions.max_age, config.sessions.max_bytes)
    # A demo leaves nothing behind.
    state_dir = Path(config.server.state_dir)
    keeper = None if demo else SessionKeeper(reactor, sessions, SessionFile(state_dir))
    state_lock = None if demo else StateLock(state_dir)
    claude = claude_backend(reactor, reactor, config, os.environ, sessions)
    connect_timeout = config.upstream.connect_timeout
    upstream_client = UpstreamClient(
        reactor, hostname_endpoints(reactor, connect_timeout), connect_timeout=connect_timeout
    )
    image_fetcher = ImageFetcher(reactor, config.images)
    upstreams = (*config.upstreams, config.upstream)
    relays = {upstream.name: OpenAIRelay(reactor, upstream_client, upstream) for upstream in upstreams}
    catalog = Catalog(config.routing.model_map, config.routing.default_model)
    router = Router(
        catalog,
        config.routing.route_claude_models,
        [upstream.route for upstream in upstreams],
        config.fallbacks,
    )
    drain = Drain(reactor)
    keys, admission = ConfiguredKeys(config.auth), Admission(reactor, config.limits)
    app = ProxyApp(
        keys=keys,
        admission=admission,
        chat_backend=claude,
        relays=relays,
        catalog=catalog,
        router=router,
        server=config.server,
        claude=config.claude,
        drain=drain,
        clock=reactor,
        image_fetcher=image_fetcher if config.images.fetch else None,
    )

    def use(config: Config) -> None:
        keys.use(config.auth)
        admission.use(config.limits)
        catalog.use(config.routing.model_map)
        app.cross_origin.use(config.server.cors_allowed_origins)
        app.chat.use(config.claude.reasoning)
        threshold.use(config.log.level)

    listeners = Listeners(reactor, config)
    return Daemon(
        reactor,
        config.server.shutdown_timeout,
        listeners,
        make_site(app, AccessLog(threshold)),
        drain,
        claude,
        upstream_client,
        image_fetcher,
        partial(_concerns, config),
        greet,
        keeper,
        state_lock,
        afterwards,
        Reload(read, config, use, listeners.renewal),
    )


def _concerns(config: Config) -> Iterator[str]:
    yield from concerns(config, os.environ)
    if config.upstream.enabled and not (config.upstreams or config.upstream.configured):
        yield "The passthrough has no upstream: set OPENAI_API_KEY or OPENAI_BASE_URL."


def claude_backend(
    clock: IReactorTime,
    spawner: IReactorProcess,
    config: Config,
    environ: Mapping[str, str],
    sessions: ISessionStore,
) -> ClaudeBackend:
    """
    Build the Claude backend.

    :param environ: the daemon's environment, of which the CLI sees the names that it may.
    """
    launcher = Launcher(config.claude, environ, config.routing.default_model)
    pool = Pool(config.claude, launcher, spawner, clock, UsageLimits(clock))
    return ClaudeBackend(
        pool,
        launcher,
        sessions,
        clock,
        TimeLimits(config.claude.request_timeout, config.claude.request_total_timeout),
        config.claude.max_processes,
        TurnLocks(clock, config.sessions.busy_timeout),
        config.claude.sampling == "honour",
    )


def _no_greeting(url: str) -> str:
    return ""


def _nothing() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
