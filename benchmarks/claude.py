"""
Row (d): the time to the first token of a turn on the CLI.

Cold, warm and continued turns through the daemon, beside a ``claude -p`` for each request, beside a bare driver that
speaks to the CLI's pipes by hand, and beside the API's stub called directly; all in one run, against the same stub.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.report import Figure, Row
from benchmarks.servers import KEY, Server, Servers
from claudeproxy.backends.claude.environment import locate_cli

__all__ = ["measure"]

_SYSTEM = "Be brief."
_PAUSE = 0.15
"""Seconds between turns: a person's next message does not come in the millisecond after the answer."""


# -- What is measured ---------------------------------------------------------


def measure(servers: Servers) -> Row:
    """
    Measure each way to a first token, one after the other.
    """
    cli = locate_cli("claude", os.environ.get("PATH"))
    if cli is None:
        raise SystemExit("Row (d) needs the CLI: pip install 'claudeproxy[cli]', or claude on PATH.")
    with servers.anthropic() as stub:
        samples = _samples(servers, stub, cli)
    figures = {name: 1000 * median(values) for name, values in samples.items()}
    late = {kind: figures[f"claudeproxy, {kind}"] - figures[f"bare driver, {kind}"] for kind in ("warm", "continued")}
    return Row(
        "d",
        "Claude Code: time to the first token, median",
        [
            *(Figure(name, value, "ms") for name, value in figures.items()),
            *(Figure(f"{kind}, later than the bare driver", value, "ms", at_most=10) for kind, value in late.items()),
        ],
        samples=samples,
    )


def _samples(servers: Servers, stub: Server, cli: str) -> dict[str, list[float]]:
    """
    Return seconds to the first token, by the way it was reached.

    The daemon and the bare driver take turns, so that what else the machine does hits both.
    """
    settings = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": stub.url, "CLAUDE_PATH": cli}
    samples: dict[str, list[float]] = {
        "the stub, called directly": [_direct(stub.port) for _ in range(20)],
        "claude -p for each request": [_print_mode(stub.url, cli) for _ in range(5)],
    }
    with servers.daemon({**settings, "WARM_PROCESSES": "0"}, pinned=False) as daemon:
        samples["claudeproxy, cold"] = [_cold(daemon.port) for _ in range(6)]
    with servers.daemon({**settings, "WARM_PROCESSES": "2"}, pinned=False) as daemon:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(12):
            ours.append(_warm(daemon.port))
            theirs += _bare(stub.url, cli, turns=1)
        samples["bare driver, warm"], samples["claudeproxy, warm"] = theirs, ours
        samples["bare driver, continued"] = _bare(stub.url, cli, turns=31)[1:]
        samples["claudeproxy, continued"] = list(_continued(daemon.port))
    return samples


def _direct(port: int) -> float:
    body = {"model": "claude", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    return _first_token(port, "/v1/messages", body, b"text_delta")


def _cold(port: int) -> float:
    _settle(port, 0)
    return _turn(port, [{"role": "user", "content": f"Hello {uuid4()}"}])


def _warm(port: int) -> float:
    _settle(port, 2)
    return _turn(port, [{"role": "user", "content": f"Hello {uuid4()}"}])


def _continued(port: int) -> Iterator[float]:
    _settle(port, 2)
    session = _session(port)
    for _ in range(30):
        time.sleep(_PAUSE)
        yield _turn(port, [{"role": "user", "content": "And now?"}], {"X-Claude-Session-ID": session})


def _settle(port: int, warm: int) -> None:
    """
    Wait until so many processes wait, and have had the time to boot.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/health")
        capacity = json.load(connection.getresponse())["checks"]["capacity"]
        connection.close()
        if capacity["warm"] >= warm and capacity["active"] == 0:
            time.sleep(1.0 if warm else _PAUSE)
            return
        time.sleep(0.05)
    raise RuntimeError("the pool did not fill")


# -- Clients ------------------------------------------------------------------


def _turn(port: int, messages: Sequence[Mapping[str, str]], headers: Mapping[str, str] | None = None) -> float:
    body = {"model": "sonnet", "stream": True, "messages": [{"role": "system", "content": _SYSTEM}, *messages]}
    return _first_token(port, "/v1/chat/completions", body, b'"content":"', headers)


def _session(port: int) -> str:
    connection = HTTPConnection("127.0.0.1", port)
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "Hello"}]
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": "sonnet", "messages": messages}), _JSON)
    response = connection.getresponse()
    response.read()
    session = response.getheader("X-Claude-Session-ID")
    connection.close()
    assert session is not None
    return session


_JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


def _first_token(
    port: int, path: str, body: Mapping[str, Any], mark: bytes, headers: Mapping[str, str] | None = None
) -> float:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    begun = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {**_JSON, **(headers or {})})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    took = None
    while line := response.readline():
        # The role's own chunk has an empty content.
        if took is None and mark in line and b'"content":""' not in line:
            took = time.perf_counter() - begun
    connection.close()
    assert took is not None
    return took


# -- The CLI by hand ----------------------------------------------------------


_STREAMS = ("--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", "sonnet")
_ALONE = ("--tools", "", "--strict-mcp-config", "--setting-sources=", "--bare")


def _environment(stub_url: str, directory: str) -> dict[str, str]:
    return {
        "HOME": directory,
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "ANTHROPIC_API_KEY": "bench",
        "ANTHROPIC_BASE_URL": stub_url,
        "CLAUDE_CONFIG_DIR": directory,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
    }


def _print_mode(stub_url: str, cli: str) -> float:
    with tempfile.TemporaryDirectory() as directory:
        begun = time.perf_counter()
        with subprocess.Popen(
            [cli, "-p", "Hello", *_STREAMS, *_ALONE, "--system-prompt", _SYSTEM],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(stub_url, directory),
            cwd=directory,
        ) as process:
            assert process.stdout is not None
            took = None
            for line in process.stdout:
                if took is None and b"text_delta" in line:
                    took = time.perf_counter() - begun
    assert took is not None
    return took


def _bare(stub_url: str, cli: str, turns: int) -> list[float]:
    """
    One process that has booted, and so many turns on it; the first includes ``initialize``.
    """
    with _pipes(stub_url, cli) as (say, hear):
        time.sleep(1.5)
        request = {"subtype": "initialize", "systemPrompt": [_SYSTEM]}
        begun = time.perf_counter()
        say({"type": "control_request", "request_id": "r1", "request": request})
        taken = [_bare_turn(say, hear, begun)]
        for _ in range(turns - 1):
            time.sleep(_PAUSE)
            taken.append(_bare_turn(say, hear, time.perf_counter()))
        return taken


def _bare_turn(say: Callable[[object], None], hear: Iterator[bytes], begun: float) -> float:
    message = {"role": "user", "content": "Hello"}
    say({"type": "user", "message": message, "uuid": str(uuid4()), "client_composed": True, "session_id": ""})
    took = None
    for line in hear:
        if took is None and b"text_delta" in line:
            took = time.perf_counter() - begun
        if b'"type":"result"' in line:
            break
    assert took is not None
    return took


@contextmanager
def _pipes(stub_url: str, cli: str) -> Iterator[tuple[Callable[[object], None], Iterator[bytes]]]:
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [cli, "-p", "--input-format", "stream-json", *_STREAMS, *_ALONE, "--no-session-persistence"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(stub_url, directory),
            cwd=directory,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stdin = process.stdin

        def say(line: object) -> None:
            stdin.write(json.dumps(line).encode() + b"\n")
            stdin.flush()

        try:
            yield say, iter(process.stdout)
        finally:
            stdin.close()
            process.wait(10)
