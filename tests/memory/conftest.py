"""
Fixtures for tests of the web side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claudeproxy.core.routing import Fallback, ModelNames, Step
from tests.memory.chains import named
from tests.memory.wire import House


@pytest.fixture
def house() -> Iterator[House]:
    """
    The web side, with one key, an upstream and a Claude backend; no timer is left behind.
    """
    house = House()
    yield house
    for channel in tuple(house.site.channels):
        channel.transport.abortConnection()
        channel.connectionLost()
    assert [] == house.clock.getDelayedCalls()
    assert 0 == house.drain.in_flight
    assert {} == house.admission.running


@pytest.fixture
def chain() -> Iterator[Callable[..., House]]:
    """
    Houses with two further upstreams, in which a chain of these steps serves gpt-5.
    """
    houses = []

    def make(*steps: Step, **settings: Any) -> House:
        if steps:
            settings["fallbacks"] = (Fallback(ModelNames(("gpt-5*",)), steps),)
        upstreams = (named("deepseek", "deepseek-*", "r1"), named("local", "llama*"))
        houses.append(House(upstreams=upstreams, **settings))
        return houses[-1]

    yield make
    for house in houses:
        assert [] == house.clock.getDelayedCalls()
        assert 0 == house.drain.in_flight
