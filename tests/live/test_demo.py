"""
The demo's configuration.
"""

from __future__ import annotations

from pathlib import Path

import pytest_twisted
from twisted.internet import reactor

from claudeproxy.config import load
from claudeproxy.testing.demo import Demo
from tests.unit.test_config_tables import GOOD


@pytest_twisted.ensureDeferred
async def test_nothing_leaves_the_machine(tmp_path: Path) -> None:
    """Of the operator's own upstreams and chains the demo knows none."""
    file = tmp_path / "claudeproxy.toml"
    file.write_text(GOOD)
    demo = Demo.listen(reactor)  # type: ignore[arg-type]
    config = demo.configure(load({"config": str(file)}, {}))
    await demo.stop()

    assert ((), ()) == (config.upstreams, config.fallbacks)
    assert config.upstream.base_url.startswith("http://127.0.0.1:")
