"""
``python -m benchmarks.soak``: mixed traffic with departures and faults, for a given time, and what it leaves behind.

The time is cut into rounds. After each, all clients hang up, and the daemon is looked at when it has come to rest: what
it has then more than after the first round, it lost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from attrs import asdict, frozen

from benchmarks.machine import Cores, describe
from benchmarks.processes import children, descriptors, resident_bytes
from benchmarks.report import Figure, Row, table, write
from benchmarks.servers import Server, Servers
from benchmarks.traffic import Client, Tally

_CLIENTS = {"claude": 10, "upstream": 12, "other": 2}
"""How many clients ask for what."""
_PROCESSES = 8
_WARM = 2
_SPARE = 3
"""Descriptors that may just be open for another reason, for example a process that is being started."""
_REST = 45.0
"""Seconds within which the daemon must have come to rest."""
_KEPT_UPSTREAM = 31.0
"""Seconds after which the daemon has closed the connections to its upstream that nobody uses."""


@frozen
class Rest:
    """
    The daemon when nobody asks for anything.
    """

    requests: int
    """That were sent so far."""
    resident: int
    """Bytes."""
    descriptors: int
    processes: int
    capacity: dict[str, int]


def main() -> int:
    """
    Run the soak; the exit status says whether all came back.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Soak the daemon.")
    parser.add_argument("--seconds", type=float, default=300, help="of traffic (default: 300)")
    parser.add_argument("--rounds", type=int, default=5, help="that these are cut into (default: 5)")
    parser.add_argument("--seed", type=int, default=1, help="of all chances (default: 1)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/soak.json"), help="where figures go")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without stopping what was started
    cores, tally = Cores.choose(), Tally()
    with Servers.on(cores) as servers, servers.stubs() as (anthropic, openai):
        settings = {
            "ANTHROPIC_API_KEY": "sk-ant-soak",
            "ANTHROPIC_BASE_URL": anthropic.url,
            "OPENAI_API_KEY": "sk-soak",
            "OPENAI_BASE_URL": f"{openai.url}/v1",
            "MAX_CONCURRENT_PROCESSES": str(_PROCESSES),
            "WARM_PROCESSES": str(_WARM),
            "IDLE_PROCESS_TTL_MS": "2000",
            "MAX_SESSION_BYTES": "1000000",
        }
        with servers.daemon(settings, pinned=False) as daemon:
            rests = soak(daemon, tally, options.seconds, options.rounds, options.seed)
            log = servers.log("daemon")
    row = judge(rests, tally, log)
    print(table([row]))
    for what in tally.wrong[:20]:
        print(f"WRONG: {what}")
    write(options.json, describe(cores), [row])
    return 1 if any(figure.met is False for figure in row.figures) else 0


def soak(daemon: Server, tally: Tally, seconds: float, rounds: int, seed: int) -> list[Rest]:
    """
    Let the clients loose, round after round, and look at the daemon after each.
    """
    clients = [
        Client(daemon, Random(f"{seed}/{kind}/{number}"), tally, kind)
        for kind, count in _CLIENTS.items()
        for number in range(count)
    ]
    rests = []
    for number in range(rounds):
        until = time.monotonic() + seconds / rounds
        threads = [threading.Thread(target=client.run, args=(until,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rests.append(_at_rest(daemon, tally))
        print(f"round {number + 1}: {rests[-1]}", file=sys.stderr, flush=True)
    return rests


def judge(rests: list[Rest], tally: Tally, log: str) -> Row:
    """
    Compare the last rest with the first.
    """
    first, last = rests[0], rests[-1]
    busy = {name: last.capacity[name] for name in ("active", "queued", "live", "parked")}
    complaints = [line for line in log.splitlines() if '"level":"error"' in line or '"level":"fatal"' in line]
    tally.wrong += complaints
    return Row(
        "soak",
        f"{tally.sent:,} requests; {tally.left:,} clients left, {tally.faults:,} faults, {tally.killed} CLIs killed",
        [
            Figure("what no client should see, and errors in the log", len(tally.wrong), "", at_most=0),
            Figure("places still taken", sum(busy.values()), "", at_most=0),
            Figure("processes at rest", last.processes, "", at_most=_WARM),
            Figure("descriptors at rest", last.descriptors, "", at_most=first.descriptors + _SPARE),
            Figure("memory at rest after the first round", first.resident / 1e6, "MB"),
            Figure("growth from then on", 100 * (last.resident / first.resident - 1), "%", at_most=10),
        ],
        notes=[
            "answers: " + ", ".join(f"{status}: {count:,}" for status, count in sorted(tally.statuses.items())),
            f"answers that broke off, as they must at a fault in their middle: {tally.broken_off:,}",
        ],
        samples={"rests": [asdict(rest) for rest in rests], "statuses": dict(tally.statuses)},
    )


def _at_rest(daemon: Server, tally: Tally) -> Rest:
    """
    Look at the daemon once nothing is left to do and idle connections are closed; or as it is when that takes too long.
    """
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        capacity = _health(daemon)["checks"]["capacity"]
        busy = capacity["active"] + capacity["queued"] + capacity["live"]
        if (waited > _KEPT_UPSTREAM and not busy and len(children(daemon.pid)) <= _WARM) or waited > _REST:
            break
        time.sleep(0.5)
    return Rest(
        requests=tally.sent,
        resident=resident_bytes(daemon.pid),
        descriptors=descriptors(daemon.pid),
        processes=len(children(daemon.pid)),
        capacity=capacity,
    )


def _health(daemon: Server) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
