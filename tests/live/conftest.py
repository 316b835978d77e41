"""
Fixtures of the live tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.claude import LiveBackend, Make


@pytest_twisted.async_yield_fixture
async def claude(stub_anthropic: StubAnthropic) -> AsyncIterator[Make]:
    """Makes backends on the real CLI behind the stub; all their processes are gone afterwards."""
    made: list[LiveBackend] = []

    def make(**environ: str) -> LiveBackend:
        live = LiveBackend.make(
            reactor,
            {
                "ANTHROPIC_API_KEY": "sk-ant-test",
                "ANTHROPIC_BASE_URL": stub_anthropic.url,
                "CLAUDE_PATH": real_cli(),
                "WARM_PROCESSES": "0",
                **environ,
            },
        )
        made.append(live)
        return live

    yield make
    await gatherResults([live.stop() for live in made])
    assert [pid for live in made for pid in live.pids_alive()] == []
