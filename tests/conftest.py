"""
Fixtures for every test, and the guard of :mod:`tests.guard` behind each.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_twisted
from hypothesis import settings
from twisted.internet.task import Clock

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from tests.guard import Guard, LoggedFailures

# How long an example takes says something about the machine, not about the code; and what a change broke is told apart
# from what was found by chance: the suite tries the same examples each time, `make fuzz` others.
settings.register_profile("suite", deadline=None, derandomize="FUZZ_CASES" not in os.environ, database=None)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """
    Exempt all that the imports made from the guard's collections, which then take a millisecond instead of fifty.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """
    Fail the test when it logged a failure or left a timer, a socket or a process behind.
    """
    from twisted.internet import reactor

    guard = Guard(reactor)
    yield guard
    if wrong := guard.verdict():
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.fixture
def logged_failures(guard: Guard) -> LoggedFailures:
    """
    What the test logged; to be flushed by a test that expects it.
    """
    return guard.failures


@pytest.fixture
def clock() -> Clock:
    """
    A clock that only the test moves.
    """
    return Clock()


@pytest_twisted.async_yield_fixture
async def stub_anthropic() -> AsyncIterator[StubAnthropic]:
    """
    A running stub of Anthropic's API.
    """
    from twisted.internet import reactor

    stub = await StubAnthropic().listen(reactor)
    yield stub
    await stub.stop()


@pytest_twisted.async_yield_fixture
async def stub_openai() -> AsyncIterator[StubOpenAI]:
    """
    A running stub of OpenAI's API.
    """
    from twisted.internet import reactor

    stub = await StubOpenAI().listen(reactor)
    yield stub
    await stub.stop()
