"""
Row (a): requests per second through the passthrough on one core, beside nginx on the same core.
"""

from __future__ import annotations

from statistics import median

from benchmarks.load import Load, wrk
from benchmarks.processes import cpu_seconds
from benchmarks.report import Figure, Row
from benchmarks.servers import Server, Servers

__all__ = ["measure"]

_CONNECTIONS = 32
_ROUNDS = 3
_SECONDS = 5


def measure(servers: Servers) -> Row:
    """
    Take turns between the daemon and nginx, and compare round by round: what else the machine does hits both.
    """
    with servers.completions() as upstream, servers.passthrough(upstream) as daemon, servers.nginx(upstream) as nginx:
        for each in (daemon, nginx):
            wrk(servers, each, connections=_CONNECTIONS, seconds=2)
        rounds = [(_round(servers, daemon), _round(servers, nginx)) for _ in range(_ROUNDS)]
    ours, theirs = zip(*rounds, strict=True)
    share = median(100 * mine[0].rate / their[0].rate for mine, their in rounds)
    return Row(
        "a",
        f"passthrough, not streaming, {_CONNECTIONS} connections, one core",
        [
            Figure("claudeproxy", median(load.rate for load, _ in ours), "requests/s"),
            Figure("nginx proxy_pass", median(load.rate for load, _ in theirs), "requests/s"),
            Figure("of nginx", share, "%", at_least=7, goal=10),
            Figure("CPU for each request", 1e6 * median(cpu for _, cpu in ours), "µs"),
            Figure("CPU for each request, nginx", 1e6 * median(cpu for _, cpu in theirs), "µs"),
            Figure("p99 latency under that load", 1000 * median(load.p99 for load, _ in ours), "ms"),
        ],
        samples={
            "claudeproxy": [load.rate for load, _ in ours],
            "nginx": [load.rate for load, _ in theirs],
        },
    )


def _round(servers: Servers, server: Server) -> tuple[Load, float]:
    before = cpu_seconds(server.pid)
    load = wrk(servers, server, connections=_CONNECTIONS, seconds=_SECONDS)
    return load, (cpu_seconds(server.pid) - before) / load.requests
