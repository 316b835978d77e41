"""
A disk that is full, a log that cannot be written, a stop under load: the daemon as a process of its own.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_twisted
from attrs import evolve, field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import RawAnswer
from claudeproxy.testing.stub import RecordedRequest, Stub
from tests.helpers import full_disk_of, real_cli, scripted_cli
from tests.live.claude import until
from tests.live.daemon import Daemon, refuses
from tests.live.whole import Client, outcome, request
from tests.memory.wire import KEY, Answer

Start = Callable[..., Daemon]
CHAT = "/v1/chat/completions"
MEGABYTE = 1024 * 1024


@pytest_twisted.async_yield_fixture
async def start(stub_openai: StubOpenAI, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts daemons on a scripted CLI, which writes nothing, and a stub upstream; none outlives the test."""
    daemons: list[Daemon] = []
    base = {
        "API_KEY": KEY,
        "ANTHROPIC_API_KEY": "k",
        "CLAUDE_PATH": scripted_cli(tmp_path, log=""),
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": stub_openai.base_url,
    }

    def start(stdout: int | None = None, **environ: str) -> Daemon:
        daemons.append(Daemon.start(reactor, {**base, **environ}, stdout=stdout))
        return daemons[-1]

    yield start
    for daemon in daemons:
        await daemon.is_gone()


async def connect(url: str) -> Client:
    """Connect to a daemon."""
    return await Client.connect(reactor, int(url.rpartition(":")[2]))


async def ask(url: str, path: str, body: bytes) -> Answer:
    """What one request is answered."""
    client = await connect(url)
    client.send(request("POST", path, body))
    answer = await client.answer()
    await client.leave()
    return answer


def body(model: str, text: str = "hello", stream: bool = False) -> bytes:
    """A chat."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}).encode()


@pytest_twisted.ensureDeferred
async def test_a_full_disk(start: Start, stub_openai: StubOpenAI, tmp_path: Path) -> None:
    """
    A daemon whose disk takes no more still serves what needs no room, and says 500 to what does.

    A large upload needs a file; a conversation needs none, however much was said before. The state directory need not
    be there.
    """
    daemon = start(WARM_PROCESSES="0", STATE_DIR="/dev/null/state")
    url = await daemon.url()
    full_disk_of(daemon.pid, 100)
    history = [{"role": role, "content": "word"} for role in ("user", "assistant", "user")]
    told = await ask(url, CHAT, json.dumps({"model": "sonnet", "messages": history}).encode())
    upload = await ask(url, "/v1/files", b"x" * 2 * MEGABYTE)

    assert 200 == told.status
    assert (500, "internal_error") == (upload.status, upload.error["code"])
    assert 200 == (await ask(url, CHAT, body("sonnet"))).status
    assert 200 == (await ask(url, CHAT, body("gpt-4o"))).status
    ended = await daemon.kill()
    assert (0, 0) == (ended.code, sum("trace" in line for line in daemon.log()))


@pytest_twisted.ensureDeferred
async def test_a_log_that_cannot_be_written(start: Start) -> None:
    """A full disk under the log loses lines of the log and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with open("/dev/full", "wb") as full:
        daemon = start(stdout=full.fileno(), PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    await until(reactor, lambda: not refuses(url))
    for model in ("sonnet", "gpt-4o"):
        assert 200 == (await ask(url, CHAT, body(model))).status
    ended = await daemon.kill()

    assert (0, "") == (ended.code, ended.err)


# -- A stop under load --------------------------------------------------------


@frozen
class Gates:
    """
    Answers that begin, and go on when the test says so.
    """

    closed: list[Deferred[None]] = field(factory=list)

    def hold(self, answer: RawAnswer) -> RawAnswer:
        """Have an answer wait after its first word."""
        steps = list(answer.steps)
        self.closed.append(Deferred())
        begun = next(index for index, step in enumerate(steps) if isinstance(step, bytes) and b"one" in step)
        steps.insert(begun + 1, self.closed[-1])
        return evolve(answer, steps=steps)


class Gated(Stub):
    """
    A stub whose answers wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gates = Gates()

    def answer(self, request: RecordedRequest) -> RawAnswer:
        return self.gates.hold(super().answer(request))


class GatedAnthropic(Gated, StubAnthropic):
    """
    Anthropic's API, whose answers wait.
    """


class GatedOpenAI(Gated, StubOpenAI):
    """
    OpenAI's API, whose answers wait.
    """


@pytest_twisted.ensureDeferred
async def test_a_stop_during_twenty_streams(start: Start) -> None:
    """
    At TERM, streams that end in time end well, and the rest get an error event.

    Who asks meanwhile gets 503 on a connection of before, and no connection otherwise. The daemon exits with 0 within
    its time and leaves no process.
    """
    cli = real_cli()
    anthropic, openai = await GatedAnthropic().listen(reactor), await GatedOpenAI().listen(reactor)
    daemon = start(
        CLAUDE_PATH=cli,
        ANTHROPIC_BASE_URL=anthropic.url,
        OPENAI_BASE_URL=openai.base_url,
        MAX_CONCURRENT_PER_KEY="0",
        WARM_PROCESSES="0",
        SHUTDOWN_TIMEOUT_MS="3000",
    )
    url = await daemon.url()
    clients = [await connect(url) for _ in range(20)]
    for number, client in enumerate(clients):
        model = "sonnet" if number % 2 else "gpt-4o"
        client.send(request("POST", CHAT, body(model, "[[stub text=one two three four deltas=4]]", stream=True)))
    for client in clients:
        await client.heard(b"one", 30)
    assert len(daemon.look()) >= 10

    before = reactor.seconds()  # type: ignore[attr-defined]
    stopped = daemon.kill(signal.SIGTERM)
    await until(reactor, lambda: refuses(url))
    for stub in (anthropic, openai):
        assert 10 == len(stub.gates.closed)
        for gate in stub.gates.closed[:5]:
            gate.callback(None)
    await until(reactor, lambda: sum(b"[DONE]" in client.data for client in clients) == 10)
    good = [client for client in clients if b"[DONE]" in client.data]
    for client in good:
        answer = await client.answer()
        assert (200, "", "one two three four") == outcome(answer)
        client.send(request("GET", "/v1/models"))
        refused = await client.answer()
        assert (503, "server_shutting_down") == (refused.status, refused.error["code"])
        await until(reactor, lambda client=client: client.lost)  # type: ignore[misc]
    for client in clients:
        if client not in good:
            status, code, text = outcome(await client.answer())
            assert (200, "server_shutting_down") == (status, code)
            assert text.startswith("one") and "four" not in text
    ended = await stopped
    took = reactor.seconds() - before  # type: ignore[attr-defined]

    assert 0 == ended.code
    assert took <= 3 + 2
    assert set() == daemon.look()
    assert [] == [line for line in daemon.log() if "trace" in line]
    for stub in (anthropic, openai):
        await stub.stop()


@pytest_twisted.ensureDeferred
async def test_a_stop_with_a_cli_that_does_not_end(start: Start, tmp_path: Path) -> None:
    """A CLI that ignores the end of its stdin and TERM is killed in time, and leaves no scratch directory."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    daemon = start(
        CLAUDE_PATH=scripted_cli(tmp_path, "hangs-mid-turn", ignores=["TERM", "INT", "eof", "interrupt"]),
        SHUTDOWN_TIMEOUT_MS="500",
        TMPDIR=str(scratch),
        WARM_PROCESSES="0",
    )
    client = await connect(await daemon.url())
    client.send(request("POST", CHAT, body("sonnet", stream=True)))
    await client.heard(b"data: ", 10)
    assert [] != list(scratch.iterdir())

    await ends_in_time(daemon, 0.5)
    assert (200, "server_shutting_down") == outcome(await client.answer())[:2]
    assert [] == list(scratch.iterdir())


@pytest_twisted.ensureDeferred
async def test_a_stop_with_a_client_that_does_not_read(start: Start) -> None:
    """A client that takes nothing of a long answer is cut off in time."""
    daemon = start(SHUTDOWN_TIMEOUT_MS="500", WARM_PROCESSES="0")
    url = await daemon.url()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        text = "[[stub bytes=20000000 deltas=200]]"
        client.sendall(request("POST", CHAT, body("gpt-4o", text, stream=True)))
        client.setblocking(False)
        await until(reactor, lambda: unread(client) > 0)

        await ends_in_time(daemon, 0.5)


def unread(client: socket.socket) -> int:
    """How much of an answer waits for a client."""
    try:
        return len(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


async def ends_in_time(daemon: Daemon, timeout: float) -> None:
    """Stop a daemon: it ends with 0 within its time and 2 s, and leaves no process."""
    before = reactor.seconds()  # type: ignore[attr-defined]
    ended = await daemon.kill(signal.SIGTERM)
    took = reactor.seconds() - before  # type: ignore[attr-defined]

    assert 0 == ended.code
    assert timeout <= took <= timeout + 2
    assert set() == daemon.look()
    assert [] == [line for line in daemon.log() if "trace" in line]
