"""
Row (e): the daemon's memory at rest and after many requests.
"""

from __future__ import annotations

from benchmarks.load import wrk
from benchmarks.processes import resident_bytes
from benchmarks.report import Figure, Row
from benchmarks.servers import Servers

__all__ = ["measure"]

_REQUESTS = 20_000
_LONGEST = 120
"""Seconds after which a slow machine has done enough."""


def measure(servers: Servers) -> Row:
    """
    Measure before the first request and after the last.
    """
    with servers.completions() as upstream, servers.passthrough(upstream) as daemon:
        at_rest = resident_bytes(daemon.pid)
        done = waited = 0
        while done < _REQUESTS and waited < _LONGEST:
            done += wrk(servers, daemon, connections=32, seconds=2).requests
            waited += 2
        afterwards = resident_bytes(daemon.pid)
    return Row(
        "e",
        "memory of the daemon (resident, no CLI process counted)",
        [
            Figure("at rest", at_rest / 1e6, "MB", at_most=90),
            Figure(f"after {done:,} requests", afterwards / 1e6, "MB"),
            Figure("growth", 100 * (afterwards - at_rest) / at_rest, "%", at_most=10),
        ],
    )
