"""
Fixtures for tests of the web side.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
