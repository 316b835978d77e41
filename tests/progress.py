"""
How far a run of all tests is, for ``make test``: a line now and then, on a terminal and in the log of a CI alike.

pytest's own percentage counts tests, most of which take milliseconds, while those with a real CLI take seconds.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

_EVERY = 15.0
"""Seconds between two lines, at least."""
_SECONDS = {"tests/live/": 1.3, "tests/packaging/": 4.0}
"""What a test takes; others take next to nothing."""
_OTHERS = 0.03


def _weight(test: str) -> float:
    return next((seconds for place, seconds in _SECONDS.items() if test.startswith(place)), _OTHERS)


class Progress:
    """
    The plugin of the process that the workers report to.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = self._said = time.monotonic()
        self._tests: frozenset[str] = frozenset()
        self._done: set[str] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Learn what there is to do."""
        self._tests = frozenset(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test that is over."""
        now = time.monotonic()
        if report.when != "teardown" or not self._tests:
            return
        self._done.add(report.nodeid)
        if now - self._said < _EVERY:
            return
        self._said = now
        part = sum(map(_weight, self._done)) / sum(map(_weight, self._tests))
        seconds = int(now - self._began)
        left = seconds * (1 - part) / part
        line = (
            f"{seconds // 60}:{seconds % 60:02} {part:.0%} of the work, {len(self._done)} of {len(self._tests)} tests, "
            f"about {left / 60:.1f} more minutes"
        )
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write(f"\n{line}\n", flush=True)


def pytest_configure(config: pytest.Config) -> None:
    """Report in the controlling process only."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config), "progress")
