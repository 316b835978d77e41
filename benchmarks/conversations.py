"""
Row (g): conversations and turns per second on the CLI, and whose CPU they take.

The CLI's own part is what the machine has to have anyway; the daemon's is to be small beside it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from uuid import uuid4

from attrs import asdict, define, frozen

from benchmarks.machine import installed_cli
from benchmarks.processes import cpu_seconds, cpu_seconds_of_children
from benchmarks.report import Figure, Row
from benchmarks.servers import Server, Servers
from benchmarks.turns import ask, body, new_session

__all__ = ["measure"]

_CLIENTS = 4
_SECONDS = 20
_BEFORE = 4
"""Seconds of the same load before they are counted."""
_SHARE = 15
"""Percent of the CPU of daemon and CLI that the daemon may take."""

_Client = Callable[[HTTPConnection], None]


@frozen
class _Run:
    """
    What was done in the time that was watched.
    """

    rate: float
    """In a second."""
    daemon: float
    """Seconds of CPU for each."""
    cli: float
    """Seconds of CPU for each, of all processes of the CLI."""
    stub: float
    """Seconds of CPU for each."""
    cores: float
    """How many cores all of them kept busy."""

    @property
    def share(self) -> float:
        """
        The daemon's part, in percent.
        """
        return 100 * self.daemon / (self.daemon + self.cli)


def measure(servers: Servers) -> Row:
    """
    Let clients begin conversations, and then go on with them.
    """
    runs = {}
    with servers.anthropic() as stub:
        settings = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": stub.url, "CLAUDE_PATH": installed_cli()}
        for name, make in (("new conversations", _beginning), ("continued turns", _continuing)):
            with servers.daemon({**settings, "WARM_PROCESSES": "2"}, pinned=False) as daemon:
                clients = [make(daemon.port) for _ in range(_CLIENTS)]
                runs[name] = _watch(daemon, stub, clients)
    cores = len(os.sched_getaffinity(0))
    return Row(
        "g",
        f"Claude Code: {_CLIENTS} clients at once, whole answers, {cores} cores for all",
        [figure for name, run in runs.items() for figure in _figures(name, run)],
        notes=[f"{name} kept {run.cores:.1f} cores busy, the API's stub included" for name, run in runs.items()],
        samples={name: {**asdict(run), "share": run.share} for name, run in runs.items()},
    )


def _figures(name: str, run: _Run) -> list[Figure]:
    return [
        Figure(name, run.rate, "1/s"),
        Figure(f"{name}: CPU of the CLI for each", 1000 * run.cli, "ms"),
        Figure(f"{name}: CPU of the daemon for each", 1000 * run.daemon, "ms"),
        Figure(f"{name}: the daemon's share of both", run.share, "%", at_most=_SHARE),
    ]


# -- Clients ------------------------------------------------------------------


def _beginning(port: int) -> _Client:
    """
    A client whose every request begins a conversation.
    """
    return lambda connection: _ask(connection, f"Hello {uuid4()}")


def _continuing(port: int) -> _Client:
    """
    A client that goes on with one conversation.
    """
    session = new_session(port)
    return lambda connection: _ask(connection, "And now?", {"X-Claude-Session-ID": session})


def _ask(connection: HTTPConnection, text: str, headers: dict[str, str] | None = None) -> None:
    ask(connection, body([{"role": "user", "content": text}]), headers)


@define
class _Count:
    """
    What all clients have done, and what went wrong.
    """

    done: int = 0
    wrong: BaseException | None = None
    over: bool = False


def _work(port: int, client: _Client, count: _Count) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        while not count.over:
            client(connection)
            count.done += 1  # a lost one among hundreds would do no harm
    except BaseException as error:
        count.wrong = error
    finally:
        connection.close()


def _watch(daemon: Server, stub: Server, clients: list[_Client]) -> _Run:
    count = _Count()
    threads = [threading.Thread(target=_work, args=(daemon.port, client, count)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        time.sleep(_BEFORE)
        before = _state(daemon, stub, count)
        time.sleep(_SECONDS)
        after = _state(daemon, stub, count)
    finally:
        count.over = True
        for thread in threads:
            thread.join()
    if count.wrong is not None:
        raise count.wrong
    elapsed, done, ours, theirs, stubs = (now - then for now, then in zip(after, before, strict=True))
    return _Run(done / elapsed, ours / done, theirs / done, stubs / done, (ours + theirs + stubs) / elapsed)


def _state(daemon: Server, stub: Server, count: _Count) -> tuple[float, ...]:
    cpu = cpu_seconds(daemon.pid), cpu_seconds_of_children(daemon.pid), cpu_seconds(stub.pid)
    return time.monotonic(), count.done, *cpu
