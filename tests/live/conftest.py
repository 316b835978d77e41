"""
Fixtures of the live tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from claudeproxy.backends.images.fetcher import ImageFetcher
from claudeproxy.config import ImagesConfig
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.stub import Stub
from tests.helpers import real_cli, scripted_cli
from tests.live.claude import LiveBackend, Make
from tests.live.pictures import MakeFetcher, With, picture
from tests.live.relaying import LiveRelay
from tests.live.relaying import Make as MakeRelay
from tests.live.whole import Whole
from tests.memory.names import Names


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


@pytest_twisted.async_yield_fixture
async def relay_to(stub_openai: StubOpenAI) -> AsyncIterator[MakeRelay]:
    """Makes relays to the stub."""
    made: list[LiveRelay] = []

    def make(**settings: object) -> LiveRelay:
        live = LiveRelay.to(reactor, **{"base_url": stub_openai.base_url, **settings})  # type: ignore[arg-type]
        made.append(live)
        return live

    yield make
    for live in made:
        await live.stop()


@pytest.fixture
def limits(clock: Clock) -> dict[str, Any]:
    """Timers of a relay that only the test's clock moves."""
    return {
        "clock": clock,
        "connect_timeout": 10.0,
        "first_byte_timeout": 20.0,
        "silence_timeout": 30.0,
        "request_timeout": 100.0,
    }


@pytest_twisted.async_yield_fixture
async def whole(stub_openai: StubOpenAI, tmp_path: Path) -> AsyncIterator[Callable[..., Whole]]:
    """
    Makes all of the daemon on a scripted CLI and a stub upstream; in the end nothing is in use or left.
    """
    made: list[Whole] = []

    def make(mode: str = "normal", claude: dict[str, str] | None = None, upstream: str = "", **options: Any) -> Whole:
        relay = {name: options.pop(name) for name in tuple(options) if name.endswith("_timeout") or "breaker" in name}
        server, limits = options.pop("server", None), options.pop("limits", None)
        environ = {"CLAUDE_PATH": scripted_cli(tmp_path, mode, **options), **(claude or {})}
        made.append(
            Whole.make(reactor, upstream or stub_openai.base_url, environ, server=server, limits=limits, **relay)
        )
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest_twisted.async_yield_fixture
async def picture_server() -> AsyncIterator[Stub]:
    """A server of pictures."""
    server = await Stub().listen(reactor)
    server.script("/a.png", *[picture() for _ in range(3)])
    yield server
    await server.stop()


@pytest_twisted.async_yield_fixture
async def make_fetcher() -> AsyncIterator[MakeFetcher]:
    """Makes fetchers that may fetch from 127.0.0.1 and nowhere else of this machine."""
    made: list[ImageFetcher] = []

    def make(names: Names | None = None, trust_root: Any = None, **settings: Any) -> ImageFetcher:
        config = ImagesConfig(**{"allowed": (ip_network("127.0.0.1"),), **settings})
        made.append(ImageFetcher(With(names) if names else reactor, config, trust_root))
        return made[-1]

    yield make
    await gatherResults([each.close() for each in made])
