"""
Row (a): requests per second through the passthrough on one core, beside nginx on the same core.

The reference is ``proxy_pass`` as it is by default, with a connection to the upstream for each request. With upstream
connections kept, as the daemon keeps them, nginx does three times as much; that is shown beside it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from attrs import frozen

from benchmarks.load import Load, wrk
from benchmarks.processes import cpu_seconds
from benchmarks.report import Figure, Row
from benchmarks.servers import Server, Servers

__all__ = ["measure"]

_CONNECTIONS = 32
_ROUNDS = 3
_SECONDS = 5


@frozen
class _Run:
    """
    One server's turn.
    """

    load: Load
    cpu: float
    """Seconds of CPU for each request."""
    core: float
    """The share of its core that the server used, in percent."""


def measure(servers: Servers) -> Row:
    """
    Let the daemon and nginx take turns, and compare round by round: what else the machine does hits all of them.
    """
    with ExitStack() as running:
        upstream = running.enter_context(servers.completions())
        proxies = {
            "claudeproxy": running.enter_context(servers.passthrough(upstream)),
            "nginx": running.enter_context(servers.nginx(upstream)),
            "nginx by default": running.enter_context(servers.nginx_by_default(upstream)),
        }
        for proxy in proxies.values():
            wrk(servers, proxy, connections=_CONNECTIONS, seconds=2)
        rounds = [{name: _run(servers, proxy) for name, proxy in proxies.items()} for _ in range(_ROUNDS)]

    def rate(name: str) -> float:
        return median(each[name].load.rate for each in rounds)

    def share(name: str) -> float:
        return median(100 * each["claudeproxy"].load.rate / each[name].load.rate for each in rounds)

    def cpu(name: str) -> float:
        return 1e6 * median(each[name].cpu for each in rounds)

    busy = {name: median(each[name].core for each in rounds) for name in proxies}
    return Row(
        "a",
        f"passthrough, not streaming, {_CONNECTIONS} connections, one core",
        [
            Figure("claudeproxy", rate("claudeproxy"), "requests/s"),
            Figure("nginx, kept upstream connections", rate("nginx"), "requests/s"),
            Figure("nginx, proxy_pass as by default", rate("nginx by default"), "requests/s"),
            Figure("of nginx, proxy_pass as by default", share("nginx by default"), "%", at_least=7, goal=10),
            Figure("of nginx, kept upstream connections", share("nginx"), "%"),
            Figure("CPU for each request", cpu("claudeproxy"), "µs"),
            Figure("CPU for each request, nginx, kept", cpu("nginx"), "µs"),
            Figure("p99 latency under that load", 1000 * median(each["claudeproxy"].load.p99 for each in rounds), "ms"),
        ],
        notes=[
            f"used of the core: {', '.join(f'{name} {used:.0f} %' for name, used in busy.items())}; "
            "who used less than 90 % was held back by the load, or by somebody else on the machine"
        ],
        samples={name: [each[name].load.rate for each in rounds] for name in proxies},
    )


def _run(servers: Servers, server: Server) -> _Run:
    cpu, begun = cpu_seconds(server.pid), time.monotonic()
    load = wrk(servers, server, connections=_CONNECTIONS, seconds=_SECONDS)
    cpu, elapsed = cpu_seconds(server.pid) - cpu, time.monotonic() - begun
    return _Run(load, cpu / load.requests, 100 * cpu / elapsed)
