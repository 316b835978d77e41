"""
Row (c): many streams of small chunks at once through the passthrough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.processes import free_port, listens, resident_bytes, running, wait_until
from benchmarks.report import Figure, Row
from benchmarks.servers import Server, Servers

__all__ = ["measure"]

_STREAMS = 300
_RATE = 20
"""Chunks per second in each stream."""
_WATCHED = 12
"""Seconds that are measured."""
_CHUNKS = (_WATCHED + 8) * _RATE
"""In each stream: what is measured, and time to begin."""


def measure(servers: Servers) -> Row:
    """
    Read the same streams directly, through nginx, and through the daemon.
    """
    with _upstream(servers) as upstream:
        direct = _read(servers, upstream)
        with servers.nginx(upstream) as nginx:
            through_nginx = _read(servers, nginx)
        with servers.passthrough(upstream) as daemon:
            _read(servers, daemon, streams=1, chunks=3 * _RATE, watched=1)  # what is loaded once is not a stream's
            at_rest = resident_bytes(daemon.pid)
            through_us = _read(servers, daemon)
    p50, p99 = (1000 * (through_us[name] - direct[name]) for name in ("delay p50", "delay p99"))
    return Row(
        "c",
        f"passthrough, {_STREAMS} streams of {_RATE} chunks a second, one core",
        [
            Figure("CPU for each chunk", 1e6 * through_us["cpu per chunk"], "µs", at_most=60, goal=45),
            Figure("CPU for each chunk, nginx", 1e6 * through_nginx["cpu per chunk"], "µs"),
            Figure("added delay, median", p50, "ms"),
            Figure("added delay, p99", p99, "ms", at_most=10, goal=5),
            Figure("memory for each stream", (through_us["memory"] - at_rest) / _STREAMS / 1000, "kB", 60, goal=30),
            Figure("chunks lost", through_us["lost"] + through_us["out of order"], "", at_most=0),
        ],
        samples={"direct": direct, "nginx": through_nginx, "claudeproxy": through_us},
    )


@contextmanager
def _upstream(servers: Servers) -> Iterator[Server]:
    port, log = free_port(), servers.directory / "stream_upstream.log"
    command = [sys.executable, "-m", "benchmarks.stream_upstream", str(port), str(_RATE)]
    with running(command, core=servers.cores.loading, log=log, environment=dict(os.environ)) as process:
        wait_until(lambda: listens(port), process, log)
        yield Server(port, process.pid)


def _read(
    servers: Servers, server: Server, *, streams: int = _STREAMS, chunks: int = _CHUNKS, watched: int = _WATCHED
) -> dict[str, Any]:
    numbers = map(str, (server.port, streams, chunks, watched, server.pid))
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream_client", *numbers],
        stdout=subprocess.PIPE,
        check=True,
        timeout=_CHUNKS / _RATE + 90,
        preexec_fn=lambda: os.sched_setaffinity(0, {servers.cores.loading}),
    ).stdout
    found: dict[str, Any] = json.loads(output)
    return found
