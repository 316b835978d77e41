"""
Processes that the benchmarks start, and what they use.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "children",
    "cpu_seconds",
    "cpu_seconds_of_children",
    "descriptors",
    "free_port",
    "listens",
    "only_child",
    "resident_bytes",
    "running",
    "wait_until",
]

_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: Sequence[str], *, core: int | None, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a process on one core, or on all, its output in a file; it is gone afterwards.
    """
    cores = os.sched_getaffinity(0) if core is None else {core}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """
    A port of loopback that nobody listens at.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """
    Whether somebody listens at a port of loopback.
    """
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 20) -> None:
    """
    Wait for a process to be ready; when it dies instead, say what it said.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """
    The CPU time, in user and in system mode, that a process has used so far.
    """
    return sum(_times(pid)[:2]) / _TICKS


def cpu_seconds_of_children(pid: int) -> float:
    """
    The CPU time that all processes which a process has started have used so far, those that are gone included.
    """
    live = 0
    for child in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            live += sum(_times(child))
    return (sum(_times(pid)[2:]) + live) / _TICKS


def _times(pid: int) -> list[int]:
    """Return the ticks of a process in user and in system mode, and those of its children that were waited for."""
    return [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]


def resident_bytes(pid: int) -> int:
    """
    The memory of a process that is in RAM.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def only_child(pid: int) -> int:
    """
    The one child of a process, for example nginx's worker.
    """
    (child,) = children(pid)
    return child


def children(pid: int) -> list[int]:
    """
    The processes that a process has started and that are not gone.
    """
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    """
    How many files, sockets and pipes a process has open.
    """
    return len(os.listdir(f"/proc/{pid}/fd"))
