"""
``python -m benchmarks``: measure, print the table, write the JSON.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import claude, conversations, latency, memory, starts, streams, throughput
from benchmarks.machine import Cores, describe, require
from benchmarks.report import Row, table, write
from benchmarks.servers import Servers

ROWS: dict[str, Callable[[Servers], Row]] = {
    "a": throughput.measure,
    "b": latency.measure,
    "c": streams.measure,
    "d": claude.measure,
    "e": memory.measure,
    "f": starts.measure,
    "g": conversations.measure,
}


def main() -> int:
    """
    Run the rows that were asked for; the exit status says whether every bound holds.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows: {' '.join(ROWS)} (default: all)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/latest.json"), help="where figures go")
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {' '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without stopping what was started
    require("wrk", "nginx")
    cores = Cores.choose()
    machine, rows = describe(cores), []
    with Servers.on(cores) as servers:
        for key in options.rows or ROWS:
            print(f"({key}) ...", file=sys.stderr, flush=True)
            rows.append(ROWS[key](servers))
    print(table(rows))
    write(options.json, machine, rows)
    return 1 if any(figure.met is False for row in rows for figure in row.figures) else 0


if __name__ == "__main__":
    sys.exit(main())
