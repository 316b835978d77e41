"""
What a client gets from a CLI that fails: on the wire, through all of the daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import field, frozen
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from claudeproxy.errors import BackendUnavailable
from claudeproxy.wire.claude_cli import TESTED_VERSION
from tests.helpers import real_cli, scripted_log
from tests.live.claude import alive, until
from tests.live.whole import Whole, outcome
from tests.memory.wire import chat_body

Make = Callable[..., Whole]
HUGE = 20 * 1024 * 1024
STUBBORN = ["TERM", "INT", "eof", "interrupt"]


@frozen
class Fault:
    """
    A way to fail, and what is promised.
    """

    name: str
    mode: str
    status: int
    code: str = ""
    options: dict[str, Any] = field(factory=dict)
    settings: dict[str, str] = field(factory=dict)
    text: str | None = None
    """In a stream that has begun: what was said before the error."""


FAULTS = (
    Fault("missing", "normal", 503, "backend_unavailable", settings={"CLAUDE_PATH": "/nonexistent/claude"}),
    Fault("not executable", "normal", 503, "backend_unavailable", settings={"CLAUDE_PATH": __file__}),
    Fault("dies at start", "dies-at-start", 503, "backend_unavailable"),
    Fault(
        "another protocol", "another-protocol", 503, "backend_unavailable", settings={"CLAUDE_START_TIMEOUT_MS": "300"}
    ),
    Fault("dies mid-answer", "dies-mid-turn", 502, "backend_error", {"after": 2, "deltas": 5}, text="word word "),
    Fault("hangs before", "hangs-before-turn", 504, "timeout", settings={"REQUEST_TIMEOUT_MS": "500"}),
    Fault("hangs during", "hangs-mid-turn", 504, "timeout", settings={"REQUEST_TIMEOUT_MS": "2500"}, text="word "),
    Fault("garbage", "garbage", 200),
    Fault("20 MiB line", "huge-line", 502, "output_limit_exceeded", {"size": HUGE}),
    Fault("floods stderr", "floods-stderr", 200, options={"size": 5_000_000}),
    Fault("grandchild", "holds-stdout", 200),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest_twisted.ensureDeferred
async def test_a_fault_of_the_cli(whole: Make, fault: Fault, stream: bool) -> None:
    """The client gets the promised error, or a whole answer; and nothing stays in use."""
    house = whole(fault.mode, fault.settings, **fault.options)
    begun = stream and fault.text is not None
    said = (fault.text or "") if begun else "" if fault.code else "word word word "
    answer = await house.ask("POST", "/v1/chat/completions", chat_body(stream=stream))

    assert (200 if begun else fault.status, fault.code, said) == outcome(answer)
    assert (fault.mode == "normal") == (answer.headers.get("x-should-retry") == "false")
    assert fault.code == house.house.access.get("error", "")
    if fault.status == 503:
        await house.claude.all_ended()
        assert ("missing" if fault.mode == "normal" else "failing") == house.claude.backend.health().status
    await house.at_rest()


@pytest_twisted.ensureDeferred
async def test_a_cli_that_ignores_everything(whole: Make) -> None:
    """The client does not wait for the end of a process that heeds no signal; its place is free when it is killed."""
    house = whole("hangs-mid-turn", {"REQUEST_TIMEOUT_MS": "400", "MAX_CONCURRENT_PROCESSES": "1"}, ignores=STUBBORN)
    before = reactor.seconds()  # type: ignore[attr-defined]
    answer = await house.ask("POST", "/v1/chat/completions", chat_body())
    took = reactor.seconds() - before  # type: ignore[attr-defined]

    assert (504, "timeout") == (answer.status, answer.error["code"])
    assert took < 3
    await house.at_rest()
    assert 1 == len(house.claude.pids_alive())
    await house.claude.all_ended()
    assert [] == house.claude.pids_alive()


@pytest_twisted.ensureDeferred
async def test_a_grandchild(whole: Make) -> None:
    """What the CLI has started ends with it, and holds no place afterwards."""
    house = whole("holds-stdout", {"IDLE_PROCESS_TTL_MS": "0"})
    assert 200 == (await house.ask("POST", "/v1/chat/completions", chat_body())).status
    await house.claude.all_ended()
    (child,) = [entry["child"] for entry in scripted_log(house.claude.cli) if entry["event"] == "child"]

    assert not alive(child)
    assert 0 == house.claude.backend.health().live


@pytest.mark.parametrize("warm", ["0", "1"])
@pytest_twisted.ensureDeferred
async def test_a_cli_of_another_version(whole: Make, warm: str) -> None:
    """A CLI that does not know our arguments, or our protocol, is named with its version and the one that we know."""
    stderr = "error: unknown option '--await-initialize'"
    old = whole("dies-at-start", {"WARM_PROCESSES": warm}, exit_code=1, stderr=stderr, version="1.0.3")
    if warm != "0":
        old.claude.start()
        await until(reactor, lambda: old.claude.backend.health().version == "1.0.3")
        assert "failing" == (await old.ask("GET", "/health")).json["checks"]["claude_cli"]
    answer = await old.ask("POST", "/v1/chat/completions", chat_body())

    assert (503, "backend_unavailable") == (answer.status, answer.error["code"])
    assert "It is version 1.0.3, and claudeproxy is tested with 2.1.329." in answer.error["message"]
    health = await old.ask("GET", "/health")
    assert ("1.0.3", "failing") == (health.json["claude_version"], health.json["checks"]["claude_cli"])


@pytest.mark.parametrize("killed", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_question_for_the_version_leaves_nobody(whole: Make, tmp_path: Path, killed: bool) -> None:
    """A CLI that is a script ends together with what it has started, when the daemon stops or has no more time."""
    noted = tmp_path / "child"
    path = tmp_path / "claude"
    path.write_text(f'#!/bin/sh\nsleep 60 &\necho $! > "{noted}.part"\nmv "{noted}.part" "{noted}"\nwait\n')
    path.chmod(0o755)
    pool = whole(claude={"CLAUDE_PATH": str(path)}).claude.backend._pool
    explained = ensureDeferred(pool.explained(BackendUnavailable("It does not start.")))
    await until(reactor, noted.exists)
    child = int(noted.read_text())
    assert alive(child)
    if killed:
        pool.kill()
    else:
        await pool.stop()

    assert "It does not start." == (await explained).message
    await until(reactor, lambda: not alive(child))


@pytest_twisted.ensureDeferred
async def test_the_version_that_is_tested_is_the_one_that_is_there(whole: Make) -> None:
    """Beside the error of a CLI of the right version nothing is said of it."""
    house = whole(claude={"CLAUDE_PATH": real_cli()})
    pool = house.claude.backend._pool
    error = await pool.explained(BackendUnavailable("It does not start."))

    assert ("It does not start.", TESTED_VERSION) == (error.message, pool.version)


@pytest_twisted.ensureDeferred
async def test_a_waiting_cli_that_says_nothing(whole: Make) -> None:
    """A process that waits and never came up is ended and replaced, and health says that it does not start."""
    mute = whole("another-protocol", {"WARM_PROCESSES": "1", "CLAUDE_START_TIMEOUT_MS": "200"}, version="9.0.0")
    mute.claude.start()
    await mute.claude.ended_count(1)
    await until(reactor, lambda: mute.claude.backend.health().version == "9.0.0")
    health = mute.claude.backend.health()

    assert ("failing", "Claude Code does not start: no answer within 0.2 s") == (health.status, health.detail)


@pytest_twisted.ensureDeferred
async def test_no_directory_to_work_in(whole: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory for its files no CLI is started; once there is one again, it is."""
    scratch = tmp_path / "scratch"
    scratch.touch()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    house = whole()
    answer = await house.ask("POST", "/v1/chat/completions", chat_body())

    assert (503, "backend_unavailable") == (answer.status, answer.error["code"])
    assert str(tmp_path) not in answer.error["message"]
    assert "retry-after" in answer.headers and "x-should-retry" not in answer.headers
    await house.at_rest()

    scratch.unlink()
    scratch.mkdir()
    assert 200 == (await house.ask("POST", "/v1/chat/completions", chat_body())).status
    assert "ok" == house.claude.backend.health().status
    await house.claude.stop()
    assert [] == list(scratch.iterdir())
