"""
What becomes of the ways in which a CLI can fail, on a scripted one that fails at will.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults

from claudeproxy.core.events import FinishReason
from claudeproxy.errors import (
    BackendError,
    BackendUnavailable,
    ClaudeProxyError,
    OutputLimitExceeded,
    UpstreamTimeout,
)
from tests.helpers import scripted_cli, scripted_log
from tests.live.claude import LiveBackend, RecordingSink, alive, chat, until

Make = Callable[..., LiveBackend]


@pytest_twisted.async_yield_fixture
async def broken(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes backends on a scripted CLI; all their processes are gone afterwards."""
    made: list[LiveBackend] = []

    def make(mode: str = "normal", environ: dict[str, str] | None = None, **options: Any) -> LiveBackend:
        settings = {
            "ANTHROPIC_API_KEY": "k",
            "WARM_PROCESSES": "0",
            "CLAUDE_PATH": scripted_cli(tmp_path, mode, **options),
            **(environ or {}),
        }
        made.append(LiveBackend.make(reactor, settings))
        return made[-1]

    yield make
    await gatherResults([live.stop() for live in made])
    assert [pid for live in made for pid in live.pids_alive()] == []


async def failure(live: LiveBackend, sink: RecordingSink | None = None) -> ClaudeProxyError:
    """The error that a turn ends with; afterwards no process and no place is left of it."""
    with pytest.raises(ClaudeProxyError) as raised:
        await live.backend.open(chat("hello"), sink or RecordingSink())
    await live.all_ended()
    health = live.backend.health()
    assert (health.active, health.live, health.queued) == (0, 0, 0)
    return raised.value


@pytest_twisted.ensureDeferred
async def test_a_missing_cli_is_said_to_be_missing(broken: Make, tmp_path: Path) -> None:
    """Without a CLI a request is answered with 503 and health says so; once it is there, it is used."""
    path = tmp_path / "claude"
    live = broken(environ={"CLAUDE_PATH": str(path)})
    error = await failure(live)
    assert isinstance(error, BackendUnavailable)
    assert live.backend.health().status == "missing"

    path.symlink_to(scripted_cli(tmp_path))
    sink = RecordingSink()
    await live.backend.open(chat("hello"), sink)

    assert sink.text == "word word word "
    assert live.backend.health().status == "ok"


@pytest_twisted.ensureDeferred
async def test_without_credentials_nothing_is_started(broken: Make) -> None:
    """A CLI that nobody logged in is not kept waiting, and a request is told what to set."""
    live = broken(environ={"ANTHROPIC_API_KEY": "", "WARM_PROCESSES": "2"})
    live.start()
    error = await failure(live)

    assert isinstance(error, BackendUnavailable)
    assert "ANTHROPIC_API_KEY" in error.message
    assert live.started == 0


@pytest_twisted.ensureDeferred
async def test_a_cli_that_is_not_a_program_is_unavailable(broken: Make, tmp_path: Path) -> None:
    """A file that cannot be executed is as good as none."""
    path = tmp_path / "not-a-program"
    path.write_text("hello")
    live = broken(environ={"CLAUDE_PATH": str(path)})

    assert isinstance(await failure(live), BackendUnavailable)
    assert live.backend.health().status == "missing"


@pytest_twisted.ensureDeferred
async def test_a_cli_that_dies_at_start_is_unavailable(broken: Make) -> None:
    """A CLI that exits before it says anything is a 503 that names its exit, not a hang."""
    live = broken("dies-at-start", exit_code=3)
    error = await failure(live)

    assert isinstance(error, BackendUnavailable)
    assert "exit code 3" in error.message
    assert live.backend.health().status == "failing"


@pytest_twisted.ensureDeferred
async def test_a_waiting_cli_that_dies_is_replaced_ever_more_slowly(broken: Make) -> None:
    """Processes that die while they wait are started again with growing delays, and health says why."""
    live = broken("dies-at-start", {"WARM_PROCESSES": "1"}, exit_code=3)
    live.start()
    before = reactor.seconds()  # type: ignore[attr-defined]
    await live.ended_count(3)
    took = reactor.seconds() - before  # type: ignore[attr-defined]
    health = live.backend.health()

    assert health.status == "failing"
    assert health.detail is not None
    assert "exit code 3" in health.detail
    # Half a second before the second start and a whole one before the third.
    assert took >= 1.5
    assert live.started == 3


@pytest_twisted.ensureDeferred
async def test_a_cli_that_dies_within_a_turn_is_an_error(broken: Make) -> None:
    """What was sent stays sent; then the client is told that the answer is incomplete."""
    sink = RecordingSink()
    error = await failure(broken("dies-mid-turn", after=2, deltas=5), sink)

    assert isinstance(error, BackendError)
    assert sink.text == "word word "


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("mode", ["hangs-before-turn", "hangs-mid-turn"])
async def test_a_cli_that_hangs_is_ended_at_the_time_limit(mode: str, broken: Make) -> None:
    """However it hangs, the request ends with a timeout and the process is gone."""
    assert isinstance(await failure(broken(mode, {"REQUEST_TIMEOUT_MS": "300"})), UpstreamTimeout)


@pytest_twisted.ensureDeferred
async def test_garbage_among_the_lines_is_skipped(broken: Make) -> None:
    """Lines that are not the protocol do not disturb the answer."""
    sink = RecordingSink()
    await broken("garbage").backend.open(chat("hello"), sink)

    assert sink.text == "word word word "
    assert sink.finished.reason is FinishReason.STOP


@pytest_twisted.ensureDeferred
async def test_a_line_beyond_the_cap_ends_the_turn(broken: Make) -> None:
    """A line of 20 MiB is refused with a clear error, and the process is ended."""
    error = await failure(broken("huge-line", size=20 * 1024 * 1024))

    assert isinstance(error, OutputLimitExceeded)
    assert str(16 * 1024 * 1024) in error.message


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("text", "whole"), [("x", 1), ("é", 2), ("🎉", 4)])
async def test_the_answers_cap_is_exact_to_the_byte(text: str, whole: int, broken: Make) -> None:
    """An answer of exactly the cap arrives; of one a byte longer, the whole characters that fit, then an error."""
    cap = 20 * whole
    exact, over = RecordingSink(), RecordingSink()
    live = broken(environ={"MAX_OUTPUT_BYTES": str(cap)}, text=text * 10, deltas=2)
    await live.backend.open(chat("hello"), exact)
    assert exact.text == text * 20

    live = broken(environ={"MAX_OUTPUT_BYTES": str(cap - 1)}, text=text * 10, deltas=2)
    error = await failure(live, over)

    assert isinstance(error, OutputLimitExceeded)
    assert str(cap - 1) in error.message
    assert over.text == text * 19


@pytest_twisted.ensureDeferred
async def test_a_flood_on_stderr_neither_blocks_nor_grows(broken: Make) -> None:
    """Stderr is drained whatever comes, and the end of it is kept, to its cap."""
    sink = RecordingSink()
    live = broken("floods-stderr", {"MAX_STDERR_BYTES": "1000"}, size=5_000_000)
    await live.backend.open(chat("hello"), sink)

    assert sink.text == "word word word "
    assert len(live.spawner.started[0]._stderr.kept) == 1000


@pytest_twisted.ensureDeferred
async def test_another_sessions_answer_is_an_error(broken: Make) -> None:
    """A CLI that did not resume the conversation, but answers all the same, is not believed."""
    sink = RecordingSink()
    error = await failure(broken("wrong-session-id"), sink)

    assert isinstance(error, BackendError)
    assert "session" in error.message
    assert sink.text == ""


@pytest_twisted.ensureDeferred
async def test_a_process_that_ignores_everything_is_killed(broken: Make) -> None:
    """Neither the end of input, nor an interrupt, nor TERM need be heeded: the ladder ends with KILL."""
    live = broken("hangs-mid-turn", ignores=["TERM", "INT", "eof", "interrupt"])
    sink = RecordingSink()
    running = live.backend.open(chat("hello"), sink)
    await sink.first_event()
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert live.backend.health().live == 0
    assert len(live.pids_alive()) == 1
    await live.all_ended()

    assert live.pids_alive() == []


@pytest_twisted.ensureDeferred
async def test_a_child_that_holds_stdout_goes_with_its_parent(broken: Make) -> None:
    """The whole process group is ended, and the place is free only when the pipes are."""
    live = broken("holds-stdout")
    await live.backend.open(chat("hello"), RecordingSink())
    await live.stop()
    (child,) = [entry["child"] for entry in scripted_log(live.cli) if entry["event"] == "child"]

    assert not alive(child)
    assert live.spawner.ended == 1


@pytest_twisted.ensureDeferred
async def test_a_paused_process_that_dies_is_noticed(broken: Make) -> None:
    """Killed while its client does not read, a process still frees its place."""
    live = broken("hangs-mid-turn")
    sink = RecordingSink()
    running = live.backend.open(chat("hello"), sink)
    await sink.first_event()
    assert sink.producer is not None
    sink.producer.pauseProducing()
    (pid,) = live.pids_alive()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(BackendError):
        await running
    await live.all_ended()

    assert live.backend.health().live == 0


@pytest_twisted.ensureDeferred
async def test_a_resting_process_that_dies_is_forgotten(broken: Make) -> None:
    """A conversation whose idle process was killed goes on in a new one."""
    live = broken()
    first, second = RecordingSink(), RecordingSink()
    await live.backend.open(chat("one"), first)
    (pid,) = live.pids_alive()
    os.kill(pid, signal.SIGKILL)
    await until(reactor, lambda: live.backend.health().live == 0)
    assert first.head is not None
    await live.backend.open(chat("two", session_id=first.head.session_id), second)

    assert second.text == "word word word "
    assert live.started == 2


@pytest_twisted.ensureDeferred
async def test_a_long_message_reaches_a_slow_reader_whole(broken: Make) -> None:
    """A message much longer than any pipe arrives complete at a CLI that is slow to read."""
    live = broken(boot_delay=0.3)
    text = "0123456789" * 500_000
    await live.backend.open(chat(text), RecordingSink())
    (line,) = [
        entry["line"]
        for entry in scripted_log(live.cli)
        if entry["event"] == "line" and entry["line"]["type"] == "user"
    ]

    assert line["message"]["content"] == [{"type": "text", "text": text}]
