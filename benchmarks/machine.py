"""
The machine: its cores, and the tools that have to be on it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from typing import Any

from attrs import frozen

from claudeproxy.backends.claude.processes.environment import locate_cli

__all__ = ["Cores", "describe", "installed_cli", "require"]


@frozen
class Cores:
    """
    Which core is under test, and which one makes the load.
    """

    tested: int
    loading: int

    @classmethod
    def choose(cls) -> Cores:
        """
        The first two that this process may use; on a machine with one core they are the same, and nothing means much.
        """
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[1 if len(allowed) > 1 else 0])


def require(*tools: str) -> None:
    """
    Install Debian packages of these names unless the programs are there; end the program when that cannot be done.
    """
    missing = [tool for tool in tools if _found(tool) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"The benchmarks need {' and '.join(missing)}. On Debian: sudo {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
        subprocess.run(["apt-get", "update"], env=environment, stdout=subprocess.DEVNULL, check=True)
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def installed_cli() -> str:
    """
    Return the path of the CLI; end the program when there is none.
    """
    cli = locate_cli("claude", os.environ.get("PATH"))
    if cli is None:
        raise SystemExit("Claude Code's rows need the CLI: pip install 'claudeproxy[cli]', or claude on PATH.")
    return cli


def describe(cores: Cores) -> dict[str, Any]:
    """
    What a reader of the figures wants to know.
    """
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "tested core": cores.tested,
        "loading core": cores.loading,
        "load average": os.getloadavg()[0],
    }


def _found(tool: str) -> str | None:
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/local/sbin")


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
