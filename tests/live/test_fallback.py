"""
Fallback chains of the whole daemon: its file of settings, the real CLI, real sockets, and the public client.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_twisted
from openai import APIStatusError, OpenAI
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.playing import End, Pause, RawAnswer
from tests.helpers import real_cli
from tests.live.breaking import EVENTS, start, text
from tests.live.claude import until
from tests.live.daemon import Daemon

FILE = """
api_key = "secret"
anthropic_api_key = "sk-ant-test"
anthropic_base_url = "{anthropic}"
claude_path = "{cli}"
warm_processes = 0
openai_api_key = "sk-first"
openai_base_url = "{first}"
upstream_breaker_failures = 2

[upstreams.second]
base_url = "{second}"
api_key = "sk-second"
models = ["second-*"]

[[fallbacks]]
models = ["claude-first"]
chain = ["claude-code/sonnet", "second/second-model"]

[[fallbacks]]
models = ["openai-first"]
chain = ["openai", "second/second-model", "claude-code/sonnet"]
"""

HELLO = "[[stub text=one two three deltas=3]]"


@pytest_twisted.async_yield_fixture
async def second() -> AsyncIterator[StubOpenAI]:
    """A second upstream."""
    stub = await StubOpenAI().listen(reactor)
    yield stub
    await stub.stop()


@pytest_twisted.async_yield_fixture
async def daemon(
    tmp_path: Path, stub_anthropic: StubAnthropic, stub_openai: StubOpenAI, second: StubOpenAI
) -> AsyncIterator[Daemon]:
    """A daemon with both chains."""
    file = tmp_path / "claudeproxy.toml"
    file.write_text(
        FILE.format(anthropic=stub_anthropic.url, cli=real_cli(), first=stub_openai.base_url, second=second.base_url)
    )
    daemon = Daemon.start(reactor, {}, f"--config={file}")
    yield daemon
    await daemon.kill(signal.SIGTERM)
    await until(reactor, lambda: not daemon.look())


async def ask(daemon: Daemon, model: str, text: str, stream: bool = False) -> tuple[Any, str]:
    """The headers of an answer and its text, or its error's code, as the SDK gives them."""
    url = await daemon.url()

    def run() -> tuple[Any, str]:
        completions = OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0).chat.completions
        messages: Any = [{"role": "user", "content": text}]
        try:
            raw = completions.with_raw_response.create(model=model, messages=messages, stream=stream)
        except APIStatusError as error:
            return error.response.headers, str(error.status_code)
        if not stream:
            return raw.headers, raw.parse().choices[0].message.content or ""
        chunks = list(raw.parse())  # type: ignore[call-overload]
        return raw.headers, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    return await deferToThread(run)


def told(headers: Any) -> tuple[str | None, str | None, str | None]:
    """Who served."""
    return headers.get("x-backend-mode"), headers.get("x-upstream"), headers.get("x-backend-attempts")


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_the_cli_hands_over(
    daemon: Daemon, stub_anthropic: StubAnthropic, second: StubOpenAI, stream: bool
) -> None:
    """The real CLI, whose API is overloaded, hands over to an upstream, and its session is gone."""
    overloaded = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}).encode()
    stub_anthropic.script("/v1/messages", *[_error(529, overloaded)] * 40)
    headers, text = await ask(daemon, "claude-first", HELLO, stream)

    assert "one two three" == text
    assert ("openai-passthrough", "second", "2") == told(headers)
    assert not [name for name in headers if name.lower().startswith("x-claude")]
    (request,) = second.requests
    assert ("second-model", "Bearer sk-second") == (request.body["model"], request.headers["authorization"])


@pytest_twisted.ensureDeferred
async def test_a_response_that_breaks_hands_over(
    daemon: Daemon, stub_anthropic: StubAnthropic, second: StubOpenAI
) -> None:
    """A response that is not streamed, and whose stream from Anthropic's API breaks, is the next backend's to give."""
    broken = start() + text(0, "The answer ")
    stub_anthropic.script("/v1/messages", RawAnswer(200, EVENTS, (broken, Pause(0.2), End.CLOSE), chunked=True))
    headers, answer = await ask(daemon, "claude-first", HELLO)

    assert answer == "one two three"
    assert ("openai-passthrough", "second", "2") == told(headers)
    assert len(stub_anthropic.requests) == 1
    assert len(second.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_upstreams_hand_over_to_the_cli(
    daemon: Daemon, stub_openai: StubOpenAI, second: StubOpenAI, stream: bool
) -> None:
    """Two upstreams that fail, each after another try, hand over to the real CLI; their keys stay apart."""
    for stub in (stub_openai, second):
        stub.script("/v1/chat/completions", *[_error(503, b"{}")] * 2)
    headers, text = await ask(daemon, "openai-first", HELLO, stream)

    assert "one two three" == text
    assert ("claude-code", None, "5") == told(headers)
    assert "true" == headers["x-claude-session-created"]
    for stub, key in ((stub_openai, "sk-first"), (second, "sk-second")):
        assert [f"Bearer {key}"] * 2 == [request.headers["authorization"] for request in stub.requests]
    breakers = (await health(daemon))["checks"]["upstreams"]
    assert {"second": ("closed", 1), "openai": ("closed", 1)} == {
        name: (check["breaker"], check["failures"]) for name, check in breakers.items()
    }


@pytest_twisted.ensureDeferred
async def test_nobody_can(daemon: Daemon) -> None:
    """What everyone refuses ends with the last one's error, and the log tells the way."""
    headers, status = await ask(daemon, "claude-first", "[[stub status=429 retry-after=77 message=slow]]")

    assert ("429", "77") == (status, headers["retry-after"])
    assert ("openai-passthrough", "second", "2") == told(headers)
    await until(reactor, lambda: any(line.get("attempts") == 2 for line in daemon.log()))
    assert any("claude-code/sonnet hands over to second/second-model" in line["msg"] for line in daemon.log())


async def health(daemon: Daemon) -> Any:
    """The health page."""
    url = f"{await daemon.url()}/health"

    def read() -> Any:
        with urlopen(url) as answer:
            return json.load(answer)

    return await deferToThread(read)


def _error(status: int, body: bytes) -> RawAnswer:
    return RawAnswer(status, ((b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))), (body,))
