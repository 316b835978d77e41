"""
Load from wrk, on the loading core.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from attrs import frozen

from benchmarks.servers import KEY, Server, Servers

__all__ = ["Load", "wrk"]

_SCRIPT = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {KEY}"
wrk.body = '{{"model":"gpt-4o","messages":[{{"role":"user","content":"Say hello to the world, please."}}]}}'

done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("figures %d %d %d %d %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@frozen
class Load:
    """
    What one run of wrk saw.
    """

    requests: int
    seconds: float
    median: float
    """Seconds."""
    p99: float
    """Seconds."""

    @property
    def rate(self) -> float:
        """
        Requests per second.
        """
        return self.requests / self.seconds


def wrk(servers: Servers, target: Server, *, connections: int, seconds: int) -> Load:
    """
    Send chat completions for a while, each connection one at a time.

    :raise RuntimeError: some were not answered with success, so that the figures mean nothing.
    """
    script = Path(servers.directory, "wrk.lua")
    script.write_text(_SCRIPT)
    command = ["taskset", "--cpu-list", str(servers.cores.loading), "wrk", "--threads", "1"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s", "--script", str(script)]
    output = subprocess.run(
        [*command, f"{target.url}/v1/chat/completions"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    ).stdout
    found = re.search(r"^figures (\d+) (\d+) (\d+) (\d+) (\d+)$", output, re.MULTILINE)
    if found is None or int(found[5]):
        raise RuntimeError(f"wrk met with errors:\n{output}")
    requests, duration, median, p99 = map(int, found.groups()[:4])
    return Load(requests, duration / 1e6, median / 1e6, p99 / 1e6)
