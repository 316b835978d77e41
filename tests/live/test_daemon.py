"""
The daemon as a whole: started as a user starts it, used through the public clients, ended in every way.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import pytest_twisted
from openai import OpenAI, OpenAIError
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from tests.helpers import real_cli, scripted_cli
from tests.live.claude import until
from tests.live.daemon import Daemon, refuses
from tests.live.javascript_clients import node, run

Start = Callable[..., Daemon]

COLD = {"WARM_PROCESSES": "0"}
"""Where it makes no difference: each process that waits takes a second to start."""


@pytest_twisted.async_yield_fixture
async def start() -> AsyncIterator[Start]:
    """Starts daemons; whatever still runs afterwards is killed."""
    daemons: list[Daemon] = []

    def start(environ: dict[str, str] | None = None, *arguments: str) -> Daemon:
        daemons.append(Daemon.start(reactor, environ or {}, *arguments))
        return daemons[-1]

    yield start
    for daemon in daemons:
        await daemon.is_gone()


@pytest.fixture
def both(stub_anthropic: StubAnthropic, stub_openai: StubOpenAI) -> dict[str, str]:
    """Settings for both backends, the real CLI and the stubs behind them."""
    return {
        "API_KEY": "secret",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub_anthropic.url,
        "CLAUDE_PATH": real_cli(),
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": f"{stub_openai.url}/v1",
    }


def client(url: str, key: str = "secret") -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def ask(url: str, model: str, text: str, **more: Any) -> Any:
    """What the SDK gives for one question, in a thread."""
    messages: Any = [{"role": "user", "content": text}]
    return deferToThread(lambda: client(url).chat.completions.create(model=model, messages=messages, **more))


def streamed(url: str, model: str, text: str) -> Any:
    """The chunks that the SDK's stream gives, in a thread."""

    def run() -> list[Any]:
        messages: Any = [{"role": "user", "content": text}]
        with client(url).chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        ) as chunks:
            return list(chunks)

    return deferToThread(run)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
async def test_the_openai_sdk_is_served_by_both_backends(model: str, start: Start, both: dict[str, str]) -> None:
    """Streaming and not, the SDK gets answer, model name and usage from the CLI and from the upstream alike."""
    url = await start(COLD | both).url()
    completion = await ask(url, model, "[[stub text=one two three]]")
    chunks = await streamed(url, model, "[[stub text=one two three deltas=3]]")

    assert completion.choices[0].message.content == "one two three"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == model
    assert completion.usage.total_tokens > 0
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    assert chunks[-1].usage.completion_tokens > 0


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])
async def test_the_javascript_sdk_is_served_by_both_backends(model: str, start: Start, both: dict[str, str]) -> None:
    """The openai package for JavaScript gets whole and streamed answers from the CLI and from the upstream alike."""
    runtime = node()
    url = await start(COLD | both).url()
    cases = await run(runtime, "openai", "chat", "stream", url=url, model=model, key="secret")
    whole, streamed = cases["chat"].seen, cases["stream"].seen

    assert (whole["content"], "".join(streamed["deltas"])) == ("one two three", "eins zwei drei vier")
    assert (whole["finish_reason"], whole["model"], streamed["models"]) == ("stop", model, [model])
    assert streamed["usage"]["total_tokens"] > 0


@pytest_twisted.ensureDeferred
async def test_a_session_is_continued_by_its_header(start: Start, both: dict[str, str]) -> None:
    """The session id of an answer resumes its conversation: only the new message is sent."""
    url = await start(COLD | both).url()

    def converse() -> str | None:
        completions = client(url).chat.completions.with_raw_response
        name: Any = [{"role": "user", "content": "Remember: my name is Alice"}]
        first = completions.create(model="sonnet", messages=name)
        assert first.headers["X-Claude-Session-Created"] == "true"
        session = first.headers["X-Claude-Session-ID"]
        question: Any = [{"role": "user", "content": "What is my name?"}]
        second = completions.create(model="sonnet", messages=question, extra_headers={"X-Claude-Session-ID": session})
        assert second.headers["X-Claude-Session-ID"] == session
        assert "X-Claude-Session-Created" not in second.headers
        return second.parse().choices[0].message.content

    assert "Alice" in str(await deferToThread(converse))


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_is_refused(start: Start, both: dict[str, str]) -> None:
    """Without the right key nobody is served, and the SDK says why."""
    url = await start(COLD | both).url()

    def knock() -> int:
        with pytest.raises(OpenAIError) as raised:
            client(url, "wrong").models.list()
        return int(raised.value.status_code)  # type: ignore[attr-defined]

    assert await deferToThread(knock) == 401


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ignores", [[], ["TERM", "INT", "eof", "interrupt"]])
async def test_nothing_survives_a_killed_daemon(
    ignores: list[str], start: Start, both: dict[str, str], tmp_path: Any
) -> None:
    """After kill -9 of the daemon no CLI is left: waiting, idle or within a turn, however stubborn."""
    cli = scripted_cli(tmp_path, "hangs-mid-turn", ignores=ignores) if ignores else both["CLAUDE_PATH"]
    daemon = start({**both, "CLAUDE_PATH": cli})
    url = await daemon.url()
    if not ignores:
        await ask(url, "sonnet", "idle afterwards")
    running = streamed(url, "sonnet", "[[stub hang]]")
    await until(reactor, lambda: len(daemon.look()) >= (4 if not ignores else 3))
    await daemon.kill(signal.SIGKILL)
    assert isinstance(await running.addErrback(lambda failure: failure.value), Exception)
    await until(reactor, lambda: not daemon.look(), 10)


@pytest_twisted.ensureDeferred
async def test_a_stopped_daemon_lets_running_answers_end(
    start: Start, both: dict[str, str], stub_anthropic: StubAnthropic, stub_openai: StubOpenAI
) -> None:
    """At TERM, answers in flight end well, and then the daemon exits with 0 and leaves no process."""
    daemon = start(both)
    url = await daemon.url()
    running = [
        streamed(url, model, "[[stub text=a b c d e f g h deltas=8 every=0.1]]") for model in ("sonnet", "gpt-4o")
    ]
    await until(reactor, lambda: bool(stub_anthropic.requests and stub_openai.requests and len(daemon.look()) >= 3))
    stopped = daemon.kill(signal.SIGTERM)
    for answer in running:
        chunks = await answer
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a b c d e f g h"
    ended = await stopped

    assert ended.code == 0
    assert daemon.look() == set()


@pytest_twisted.ensureDeferred
async def test_an_answer_that_takes_too_long_is_cut_at_the_stop(start: Start, both: dict[str, str]) -> None:
    """What does not end within the stop's time ends with an error that says so, and the daemon exits with 0."""
    daemon = start({**both, "SHUTDOWN_TIMEOUT_MS": "300"})
    url = await daemon.url()
    await ask(url, "sonnet", "first")
    answers = [streamed(url, model, "[[stub text=a b c deltas=3 every=20]]") for model in ("sonnet", "gpt-4o")]
    await until(reactor, lambda: len(daemon.look()) >= 4)
    stopped = daemon.kill(signal.SIGTERM)
    for answer in answers:
        with pytest.raises(OpenAIError):
            await answer
    ended = await stopped

    assert ended.code == 0
    assert daemon.look() == set()


@pytest_twisted.ensureDeferred
async def test_a_second_signal_ends_it_at_once(start: Start, both: dict[str, str]) -> None:
    """Whoever asks twice does not wait for running answers; even then no process is left."""
    daemon = start(both)
    url = await daemon.url()
    running = streamed(url, "sonnet", "[[stub text=a b c deltas=3 every=20]]")
    await until(reactor, lambda: len(daemon.look()) >= 3)
    first = daemon.kill(signal.SIGTERM)
    await until(reactor, lambda: refuses(url))
    ended = await daemon.kill(signal.SIGTERM)
    await first
    assert isinstance(await running.addErrback(lambda failure: failure.value), Exception)

    assert ended.code == 1
    await until(reactor, lambda: not daemon.look(), 10)


@pytest_twisted.ensureDeferred
async def test_a_session_goes_on_after_a_restart(
    start: Start, both: dict[str, str], tmp_path: Path, stub_anthropic: StubAnthropic
) -> None:
    """A stopped daemon's sessions are known to the next one, with all that was said, and nobody else can read them."""
    settings = {**COLD, **both, "STATE_DIR": str(tmp_path / "state")}

    def converse(url: str, text: str, headers: dict[str, str]) -> str:
        completions = client(url).chat.completions.with_raw_response
        messages: Any = [{"role": "user", "content": text}]
        answer = completions.create(model="sonnet", messages=messages, extra_headers=headers)
        return str(answer.headers["X-Claude-Session-ID"])

    first = start(settings)
    session = await deferToThread(converse, await first.url(), "Remember: my name is Alice", {})
    assert (await first.kill()).code == 0
    assert (tmp_path / "state" / "sessions.json").stat().st_mode & 0o777 == 0o600
    url = await start(settings).url()
    again = await deferToThread(converse, url, "What is my name?", {"X-Claude-Session-ID": session})

    assert again == session
    said = [message["role"] for message in stub_anthropic.requests[-1].body["messages"] if message["role"] != "system"]
    assert said == ["user", "assistant", "user"]
    assert "Alice" in str(stub_anthropic.requests[-1].body["messages"])


@pytest_twisted.ensureDeferred
async def test_a_second_daemon_on_a_state_directory_does_not_start(
    start: Start, both: dict[str, str], tmp_path: Path
) -> None:
    """It names the directory and the holder's process; a killed holder leaves no lock behind."""
    settings = {**both, "STATE_DIR": str(tmp_path / "state")}
    first = start(settings)
    await first.url()
    refused = await start(settings).ended()

    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert str(tmp_path / "state") in refused.err
    assert f"process {first.pid})" in refused.err
    assert not refused.out.count("listening at")
    await first.kill(signal.SIGKILL)
    await start(settings).url()


@pytest_twisted.ensureDeferred
async def test_a_taken_port_is_one_line_and_status_one(start: Start, stub_openai: StubOpenAI) -> None:
    """A port that is in use ends the daemon at once, with its name."""
    ended = await start({"PORT": str(stub_openai.port)}).ended()

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert str(stub_openai.port) in ended.err
    assert "in use" in ended.err


@pytest_twisted.ensureDeferred
async def test_it_does_not_listen_beyond_loopback_without_a_key(start: Start) -> None:
    """Open to everyone is refused, in one line that names what to set."""
    ended = await start({"HOST": "0.0.0.0"}).ended()

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "API_KEY" in ended.err


@pytest_twisted.ensureDeferred
async def test_the_demos_lines_work_when_pasted(start: Start) -> None:
    """The demo prints one curl line for each backend, and both answer, with and without streaming."""
    real_cli()
    curl = which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    daemon = start({}, "--demo")
    await daemon.url()
    await until(reactor, lambda: daemon.out.count("curl ") == 2)
    assert "canned" in daemon.out
    for line in daemon.out.splitlines():
        if line.strip().startswith("curl "):
            _, *arguments = shlex.split(line)
            out, _, code = await getProcessOutputAndValue(curl, arguments)
            assert (code, b"canned answer" in out) == (0, True)
            body = arguments.index("-d") + 1
            arguments[body] = '{"stream": true, ' + arguments[body][1:]
            out, _, code = await getProcessOutputAndValue(curl, arguments)
            assert code == 0
            assert out.endswith(b"data: [DONE]\n\n")
