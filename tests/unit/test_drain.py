"""
The graceful end, from inside.
"""

from __future__ import annotations

from gc import collect
from weakref import ref

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from claudeproxy.errors import ServerShuttingDown
from claudeproxy.interfaces import IReadiness
from claudeproxy.ops.drain import Drain


@pytest.fixture
def drain(clock: Clock) -> Drain:
    """A drain that has not begun."""
    return Drain(clock)


def test_it_makes_the_daemon_unready(drain: Drain) -> None:
    """Nothing stands against readiness until the drain begins."""
    assert verifyObject(IReadiness, drain)
    assert () == drain.unready_reasons()
    drain.begin()
    assert (("shutting down",), True) == (drain.unready_reasons(), drain.draining)


def test_it_waits_for_the_last_request(drain: Drain, clock: Clock) -> None:
    """The stop is over when the last request is, and not before; no timer is left."""
    drain.entered()
    drain.entered()
    stopped = ensureDeferred(drain.stop(10))
    drain.left()
    assert not stopped.called
    drain.left()

    assert stopped.called
    assert [] == clock.getDelayedCalls()


def test_tracked_work_passes_its_result_on(drain: Drain) -> None:
    """Work that ends by itself ends as it would."""
    work: Deferred[int] = Deferred()
    results: list[object] = []
    drain.track(work).addBoth(results.append)
    work.callback(1)

    assert [1] == results


@pytest.mark.parametrize("draining", [False, True])
def test_a_client_that_leaves_cancels(drain: Drain, draining: bool) -> None:
    """A cancellation that is not the drain's own stays one."""
    if draining:
        drain.begin()
    failures: list[Failure] = []
    drain.track(Deferred[None]()).addErrback(failures.append).cancel()

    assert [CancelledError] == [failure.type for failure in failures]


def test_work_that_is_over_is_forgotten(drain: Drain) -> None:
    """Nothing is kept of work that has ended."""
    work: Deferred[None] = drain.track(Deferred())
    work.callback(None)
    forgotten = ref(work)
    del work
    collect()

    assert forgotten() is None


def test_what_takes_too_long_is_cut_short(drain: Drain, clock: Clock) -> None:
    """When the time is over, work is cancelled, and fails with the reason in the place of the cancellation."""
    cancelled: list[object] = []
    failures: list[Failure] = []
    drain.entered()
    drain.track(Deferred[None](cancelled.append)).addErrback(failures.append)
    stopped = ensureDeferred(drain.stop(10))
    clock.advance(9.9)
    assert [] == cancelled
    clock.advance(0.2)

    assert (1, [ServerShuttingDown]) == (len(cancelled), [failure.type for failure in failures])
    assert stopped.called
    said = ensureDeferred(drain.last_words(1))
    assert not said.called
    drain.left()
    assert said.called
    assert [] == clock.getDelayedCalls()


def test_work_that_ends_in_time_is_not_touched(drain: Drain, clock: Clock) -> None:
    """Work that was done before the time is over is not cancelled, also when its request is not over yet."""
    cancelled: list[object] = []
    work: Deferred[None] = Deferred(cancelled.append)
    drain.entered()
    drain.track(work)
    stopped = ensureDeferred(drain.stop(10))
    work.callback(None)
    clock.advance(10)
    said = ensureDeferred(drain.last_words(2))
    clock.advance(2)

    assert ([], True, True) == (cancelled, stopped.called, said.called)
