"""
Row (b): what the passthrough adds to the latency of one request at a time.
"""

from __future__ import annotations

from statistics import median

from benchmarks.load import wrk
from benchmarks.report import Figure, Row
from benchmarks.servers import Servers

__all__ = ["measure"]

_ROUNDS = 3
_SECONDS = 3


def measure(servers: Servers) -> Row:
    """
    Compare medians: directly, through nginx, through the daemon.
    """
    with servers.completions() as upstream, servers.passthrough(upstream) as daemon, servers.nginx(upstream) as nginx:
        for each in (daemon, nginx):
            wrk(servers, each, connections=1, seconds=1)
        rounds = [
            [1000 * wrk(servers, each, connections=1, seconds=_SECONDS).median for each in (upstream, nginx, daemon)]
            for _ in range(_ROUNDS)
        ]
    direct, through_nginx, through_us = (median(column) for column in zip(*rounds, strict=True))
    return Row(
        "b",
        "passthrough, not streaming, one connection: median latency",
        [
            Figure("directly", direct, "ms"),
            Figure("added by nginx proxy_pass", through_nginx - direct, "ms"),
            Figure("added by claudeproxy", through_us - direct, "ms", at_most=1),
        ],
        samples={"direct, nginx, claudeproxy": rounds},
    )
