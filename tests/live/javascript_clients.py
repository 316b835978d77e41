"""
The clients in ``tests/clients``: their packages, their runtime, and what a run of their cases shows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from attrs import evolve, frozen
from twisted.internet.utils import getProcessOutputAndValue

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from tests.helpers import real_cli
from tests.live.claude import until
from tests.live.daemon import Daemon

__all__ = ["Case", "node", "play", "run"]

_CLIENTS = Path(__file__).parents[1] / "clients"
_MODULES = _CLIENTS / "node_modules"


@frozen
class Case:
    """
    One case of a client, seen from both ends.
    """

    sent: Sequence[Any]
    """The bodies of its requests."""
    sessions: Sequence[str | None]
    """The session that each answer of the daemon named."""
    _seen: Any = None
    _thrown: str | None = None
    told: Sequence[RecordedRequest] = ()
    """What has reached the model's API of it."""
    left: int = 0
    """How many answers of the model were broken off."""

    @property
    def seen(self) -> Any:
        """What the client has seen; fails when it has thrown something."""
        assert self._thrown is None, self._thrown
        return self._seen

    @property
    def functions(self) -> list[Any]:
        """The functions that it has offered."""
        return [tool["function"] for tool in self.sent[0]["tools"]]


async def run(
    runtime: str, client: str, *names: str, url: str, model: str = "sonnet", key: str = "any"
) -> dict[str, Case]:
    """
    Run cases of a client against a daemon, all of them when none is named.
    """
    arguments = [str(_CLIENTS / "run.js"), client, *names]
    environ = {"PATH": os.environ["PATH"], "BASE_URL": f"{url}/v1", "API_KEY": key, "MODEL": model}
    out, err, code = await getProcessOutputAndValue(runtime, arguments, env=environ)
    assert code == 0, err.decode()
    lines = map(json.loads, out.splitlines())
    return {line.pop("case"): Case(**line) for line in lines}


async def play(reactor: Any, runtime: str, clients: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Case]:
    """
    Run cases of each client against one daemon with the real CLI, the stub of Anthropic's API behind it.
    """
    departed: list[RecordedRequest] = []
    stub = await StubAnthropic().listen(reactor)

    def leaves(request: RecordedRequest) -> None:
        departed.append(request)
        stub.next_departure().addCallback(leaves)

    stub.next_departure().addCallback(leaves)
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "2",
        "RATE_LIMIT_PER_IP": "0",
    }
    daemon = Daemon.start(reactor, settings)
    played = {}
    try:
        url = await daemon.url()
        for client, names in clients.items():
            for name, case in (await run(runtime, client, *names, url=url)).items():
                whose = f"{client}/{name}"
                played[client, name] = evolve(case, told=_of(whose, stub.requests))
        abandoned = [request for whose, case in played.items() if whose[1].startswith("abort") for request in case.told]
        with suppress(AssertionError):  # what is missing then is the test's to say
            await until(reactor, lambda: all(request in departed for request in abandoned), 5)
        left = tuple(departed)  # those that leave now are the daemon's doing
    finally:
        await daemon.kill()
        await stub.stop()
    return {whose: evolve(case, left=sum(request in left for request in case.told)) for whose, case in played.items()}


def _of(whose: str, requests: Sequence[RecordedRequest]) -> list[RecordedRequest]:
    """Return the requests of one case that the API took: its prompts say so."""
    return [each for each in requests if each.status != 400 and f"case {whose}:" in json.dumps(each.body)]


@cache
def node() -> str:
    """
    Return Node.js, with the packages that the clients need beside them; skip the test where nobody wants the clients
    installed, or npm is not there.
    """
    if "CLIENTS" not in os.environ:
        pytest.skip("make clients installs the clients, and runs these")
    npm = which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    with _alone():
        _install(npm)
    ours = _MODULES / ".bin" / "node"
    if ours.exists():
        return str(ours)
    found = which("node")
    version = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout if found else "v0"
    if found is None or int(version.removeprefix("v").partition(".")[0]) < 22:
        pytest.skip("the JavaScript clients need Node.js 22 or later")
    return found


def _install(npm: str) -> None:
    """Install what package.json names, unless it is there."""
    wanted = {name: _digest(_CLIENTS / name) for name in ("package.json", "package-lock.json")}
    stamp = _MODULES / ".installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return
    # Some of the packages are for a later Node.js than npm may run on; ours is among them.
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--engine-strict=false", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=_CLIENTS, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.fail(f"npm cannot install the packages: {done.stderr[-500:]}")
    stamp.write_text(json.dumps(wanted))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other run of the tests install at the same time."""
    directory = os.open(_CLIENTS, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
