"""
The scripted CLI speaks the protocol and misbehaves as told.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from claudeproxy.wire.framing import LineFramer
from tests.helpers import scripted_cli, scripted_log


class Owner(ProcessProtocol):
    """Starts the CLI, keeps what it says, and waits for lines of a kind."""

    def __init__(self, cli: str, *arguments: str) -> None:
        self.lines: list[Any] = []
        self.framer = LineFramer(32 << 20)
        self.stderr = bytearray()
        self.exited: Deferred[Any] = Deferred()
        self.ended: Deferred[Any] = Deferred()
        self._waiting: tuple[str, Deferred[dict[str, Any]]] | None = None
        reactor.spawnProcess(self, cli, [cli, *arguments], env={"PATH": os.defpath})

    def say(self, line: dict[str, Any]) -> None:
        """Write one line."""
        self.transport.write(json.dumps(line).encode() + b"\n")

    def ask(self, subtype: str) -> Deferred[dict[str, Any]]:
        """Send a control request and wait for its answer."""
        self.say({"type": "control_request", "request_id": subtype, "request": {"subtype": subtype}})
        return self.until("control_response")

    def prompt(self, text: str = "hello") -> None:
        """Send a user's message."""
        self.say({"type": "user", "message": {"role": "user", "content": text}})

    def until(self, kind: str) -> Deferred[dict[str, Any]]:
        """Return a Deferred that fires with the next line of a kind."""
        waiting: Deferred[dict[str, Any]] = Deferred()
        self._waiting = kind, waiting
        return waiting

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the lines of a kind."""
        return [line for line in self.lines if isinstance(line, dict) and line.get("type") == kind]

    async def close(self) -> Any:
        """Close stdin and return how the process ended."""
        self.transport.closeStdin()
        return await self.ended

    def outReceived(self, data: bytes) -> None:
        for raw in self.framer.feed(data):
            try:
                line = json.loads(raw)
            except ValueError:
                line = raw
            self.lines.append(line)
            if self._waiting is not None and isinstance(line, dict) and line.get("type") == self._waiting[0]:
                (_, waiting), self._waiting = self._waiting, None
                waiting.callback(line)

    def errReceived(self, data: bytes) -> None:
        self.stderr += data

    def processExited(self, reason: Failure) -> None:
        self.exited.callback(reason.value)

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value)


@pytest_twisted.ensureDeferred
async def test_a_turn_has_the_clis_shape(tmp_path: Path) -> None:
    """Control requests are answered, a message is, and the end of input ends it with 0."""
    owner = Owner(scripted_cli(tmp_path, deltas=2, text="hi "), "--session-id=abc")
    version = await owner.ask("get_binary_version")
    owner.prompt()
    result = await owner.until("result")
    ending = await owner.close()

    assert version["response"]["response"]["version"] == "2.1.329"
    assert [line["event"]["type"] for line in owner.of("stream_event")] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert (result["result"], result["session_id"], result["is_error"]) == ("hi hi ", "abc", False)
    assert ending.exitCode == 0


@pytest_twisted.ensureDeferred
async def test_what_it_was_told_is_in_its_log(tmp_path: Path) -> None:
    """A test can see how the CLI was started and what it was sent."""
    cli = scripted_cli(tmp_path)
    owner = Owner(cli, "-p", "--resume", "abc")
    owner.prompt("@/etc/passwd")
    await owner.until("result")
    await owner.close()
    start, line = scripted_log(cli)

    assert start["argv"] == ["-p", "--resume", "abc"]
    assert line["line"]["message"]["content"] == "@/etc/passwd"


@pytest.mark.parametrize("mode", ["hangs-before-turn", "hangs-mid-turn"])
@pytest_twisted.ensureDeferred
async def test_a_hanging_turn_can_be_interrupted(mode: str, tmp_path: Path) -> None:
    """It hangs until it is interrupted, and says so in the result."""
    owner = Owner(scripted_cli(tmp_path, mode))
    owner.prompt()
    await owner.ask("get_binary_version")
    assert owner.of("result") == []
    owner.say({"type": "control_request", "request_id": "i", "request": {"subtype": "interrupt"}})
    result = await owner.until("result")
    await owner.close()

    assert (result["subtype"], result["is_error"]) == ("error_during_execution", True)


@pytest_twisted.ensureDeferred
async def test_it_dies_at_its_start(tmp_path: Path) -> None:
    """With the status and the words that were asked for."""
    owner = Owner(scripted_cli(tmp_path, "dies-at-start", exit_code=9, stderr="no licence"))
    ending = await owner.ended

    assert ending.exitCode == 9
    assert owner.stderr == b"no licence"


@pytest_twisted.ensureDeferred
async def test_it_dies_within_a_turn(tmp_path: Path) -> None:
    """After its deltas, in the middle of a line."""
    owner = Owner(scripted_cli(tmp_path, "dies-mid-turn", after=2))
    owner.prompt()
    ending = await owner.ended

    assert ending.exitCode == 3
    assert len([line for line in owner.of("stream_event") if "delta" in line["event"]]) == 2
    assert owner.framer.eof().startswith(b'{"type":"stream_event"')
    assert owner.of("result") == []


@pytest.mark.parametrize(
    ("mode", "options"),
    [("garbage", {}), ("huge-line", {"size": 20 << 20}), ("floods-stderr", {"size": 3 << 20})],
)
@pytest_twisted.ensureDeferred
async def test_noise_goes_beside_an_ordinary_turn(mode: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Whoever survives the noise gets the answer."""
    owner = Owner(scripted_cli(tmp_path, mode, **options))
    owner.prompt()
    result = await owner.until("result")
    await owner.close()

    assert result["result"] == "word word word "
    if mode == "floods-stderr":
        assert len(owner.stderr) == options["size"]
    if mode == "huge-line":
        (huge,) = owner.of("a_kind_of_tomorrow")
        assert len(json.dumps(huge, separators=(",", ":"))) == options["size"]
    if mode == "garbage":
        assert b"not JSON" in owner.lines


@pytest_twisted.ensureDeferred
async def test_an_api_error_is_an_error_result(tmp_path: Path) -> None:
    """As the real one ends a turn that the API refused."""
    owner = Owner(scripted_cli(tmp_path, "fails", status=529, message="API Error: Overloaded"))
    owner.prompt()
    result = await owner.until("result")
    await owner.close()

    assert (result["is_error"], result["api_error_status"]) == (True, 529)
    assert result["result"] == "API Error: Overloaded"
    assert owner.of("assistant")[0]["message"]["model"] == "<synthetic>"


@pytest_twisted.ensureDeferred
async def test_another_session_answers(tmp_path: Path) -> None:
    """As when a resume went wrong."""
    owner = Owner(scripted_cli(tmp_path, "wrong-session-id"), "--resume=abc")
    owner.prompt()
    result = await owner.until("result")
    await owner.close()

    assert result["session_id"] != "abc"
    assert owner.of("system")[0]["session_id"] == result["session_id"]


@pytest_twisted.ensureDeferred
async def test_it_can_refuse_to_end(tmp_path: Path) -> None:
    """Only KILL ends one that ignores TERM, INT, an interrupt and the end of its input."""
    owner = Owner(scripted_cli(tmp_path, "hangs-mid-turn", ignores=["TERM", "INT", "eof", "interrupt"]))
    owner.prompt()
    await owner.until("stream_event")
    owner.transport.signalProcess("TERM")
    owner.transport.signalProcess("INT")
    await owner.ask("interrupt")
    await owner.ask("get_binary_version")
    assert owner.of("result") == []
    owner.transport.closeStdin()
    owner.transport.signalProcess("KILL")

    assert (await owner.ended).signal == signal.SIGKILL


@pytest_twisted.ensureDeferred
async def test_a_child_of_its_holds_stdout(tmp_path: Path) -> None:
    """The process has exited, but its pipes stay open until the child is gone too."""
    cli = scripted_cli(tmp_path, "holds-stdout")
    owner = Owner(cli)
    await owner.ask("get_binary_version")
    owner.transport.closeStdin()
    await owner.exited
    assert not owner.ended.called
    (child,) = [entry["child"] for entry in scripted_log(cli) if entry["event"] == "child"]
    os.kill(child, signal.SIGKILL)

    assert (await owner.ended).exitCode == 0
