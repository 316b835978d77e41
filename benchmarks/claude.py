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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from uuid import uuid4

from benchmarks.machine import installed_cli
from benchmarks.report import Figure, Row
from benchmarks.servers import Server, Servers
from benchmarks.turns import PAUSE, SYSTEM, chat_turn, first_token, new_session, settle

__all__ = ["measure"]

# -- What is measured ---------------------------------------------------------


def measure(servers: Servers) -> Row:
    """
    Measure each way to a first token, one after the other.
    """
    cli = installed_cli()
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
    return first_token(port, "/v1/messages", body, b"text_delta")


def _cold(port: int) -> float:
    settle(port, 0)
    return chat_turn(port, [{"role": "user", "content": f"Hello {uuid4()}"}])


def _warm(port: int) -> float:
    settle(port, 2)
    return chat_turn(port, [{"role": "user", "content": f"Hello {uuid4()}"}])


def _continued(port: int) -> Iterator[float]:
    settle(port, 2)
    session = new_session(port)
    for _ in range(30):
        time.sleep(PAUSE)
        yield chat_turn(port, [{"role": "user", "content": "And now?"}], {"X-Claude-Session-ID": session})


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
            [cli, "-p", "Hello", *_STREAMS, *_ALONE, "--system-prompt", SYSTEM],
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
        request = {"subtype": "initialize", "systemPrompt": [SYSTEM]}
        begun = time.perf_counter()
        say({"type": "control_request", "request_id": "r1", "request": request})
        taken = [_bare_turn(say, hear, begun)]
        for _ in range(turns - 1):
            time.sleep(PAUSE)
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
