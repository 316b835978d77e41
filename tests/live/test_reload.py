"""
SIGHUP, sent to the daemon as a user starts it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.openai import StubOpenAI
from tests.live.claude import until
from tests.live.daemon import Daemon


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Where the configuration file is."""
    return tmp_path / "claudeproxy.toml"


@pytest_twisted.async_yield_fixture
async def start(stub_openai: StubOpenAI) -> AsyncIterator[Callable[..., Daemon]]:
    """Starts a daemon before an upstream, and stops it."""
    daemons: list[Daemon] = []

    def start(*arguments: str, **settings: str) -> Daemon:
        upstream = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{stub_openai.url}/v1"}
        daemons.append(Daemon.start(reactor, {"WARM_PROCESSES": "0", **upstream, **settings}, *arguments))
        return daemons[-1]

    yield start
    for daemon in daemons:
        if not daemon.has_ended:
            assert (await daemon.kill()).code == 0


async def reloaded(daemon: Daemon) -> dict[str, Any]:
    """Send SIGHUP; return the log's line about what came of it."""

    def said() -> list[dict[str, Any]]:
        return [line for line in daemon.log() if line["namespace"] == "claudeproxy.ops.reload.Reload"]

    before = len(said())
    os.kill(daemon.pid, signal.SIGHUP)
    await until(reactor, lambda: len(said()) > before)
    return said()[before]


def connected(url: str) -> http.client.HTTPConnection:
    at = urlsplit(url)
    assert at.hostname is not None
    return http.client.HTTPConnection(at.hostname, at.port, timeout=10)


def asked(url: str, key: str) -> tuple[int, str | None]:
    """Ask for the models; return the status and what the answer says of the limit."""
    connection = connected(url)
    connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["X-RateLimit-Limit"]


@pytest_twisted.ensureDeferred
async def test_a_reload(start: Callable[..., Daemon], toml: Path) -> None:
    """
    New keys and limits hold from the next request on, while a stream that runs under the old ones ends well; a file
    that is broken then, or a secret that cannot be read, changes nothing.
    """
    toml.write_text('api_keys = ["key-old", "key-kept"]\nrate_limit_per_ip = 50\nmax_concurrent_per_key = 1\n')
    daemon = start(f"--config={toml}", "--max-body-bytes=1000")
    url = await daemon.url()
    assert ((200, "50"), (401, "50")) == (
        await deferToThread(asked, url, "key-old"),
        await deferToThread(asked, url, "key-new"),
    )
    stream = connected(url)
    question = {"role": "user", "content": "[[stub text=one two three four deltas=4 every=0.3]]"}
    body = json.dumps({"model": "gpt-4o", "stream": True, "messages": [question]})
    stream.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer key-old"})
    answer = await deferToThread(stream.getresponse)
    first = await deferToThread(answer.readline)

    secret = toml.with_name("secret")
    secret.write_text("key-new\n")
    toml.write_text(f'api_keys = ["key-kept"]\napi_key_file = "{secret}"\nrate_limit_per_ip = 40\nmax_body_bytes = 5\n')
    line = await reloaded(daemon)

    assert "info" == line["level"]
    assert (
        "The configuration was reloaded: API_KEY 0 -> 1 (1 came, 0 went); API_KEYS 2 -> 1 (0 came, 1 went); "
        "RATE_LIMIT_PER_IP 50 -> 40; MAX_CONCURRENT_PER_KEY 1 -> 5."
    ) == line["msg"]
    statuses = [await deferToThread(asked, url, key) for key in ("key-old", "key-new", "key-kept")]
    assert [(401, "40"), (200, "40"), (200, "40")] == statuses
    rest = await deferToThread(answer.read)
    stream.close()
    assert 200 == answer.status
    assert first.startswith(b"data: ") and rest.endswith(b"data: [DONE]\n\n")
    assert 4 == rest.count(b'"delta":{"content":"')

    for broken, said in (
        ("api_keys = [", "CONFIG (option --config): "),
        ('api_key_file = "/nowhere/key"\n', "API_KEY ("),
        ("rate_limit_per_ip = -1\n", "RATE_LIMIT_PER_IP ("),
    ):
        toml.write_text(broken)
        line = await reloaded(daemon)
        assert "error" == line["level"]
        assert line["msg"].startswith(f"The configuration was not reloaded, and nothing has changed: {said}")
        assert [(401, "40"), (200, "40")] == [await deferToThread(asked, url, key) for key in ("key-old", "key-new")]
    assert not any(key in daemon.out for key in ("key-old", "key-new", "key-kept"))


@pytest_twisted.ensureDeferred
async def test_what_needs_a_restart_is_told(start: Callable[..., Daemon], toml: Path) -> None:
    """Settings that a running daemon cannot change are named, with what they are and what they would become."""
    toml.write_text("")
    daemon = start(f"--config={toml}")
    await daemon.url()
    toml.write_text("max_body_bytes = 1000\nlog_level = 'warn'\n")
    line = await reloaded(daemon)

    # The new level holds already, so that what is of level info is not told any more.
    assert ("warn", "Only a restart brings what else has changed: MAX_BODY_BYTES 33554432 -> 1000.") == (
        line["level"],
        line["msg"],
    )


@pytest_twisted.ensureDeferred
async def test_the_demo_reloads_too(start: Callable[..., Daemon], toml: Path) -> None:
    """In the demo, new limits hold and the stubs stay behind both backends."""
    toml.write_text("rate_limit_per_ip = 50\n")
    daemon = start(f"--config={toml}", "--demo")
    url = await daemon.url()
    toml.write_text("rate_limit_per_ip = 40\n")
    await reloaded(daemon)

    assert (200, "40") == await deferToThread(asked, url, "")


@pytest_twisted.ensureDeferred
async def test_within_a_stop(start: Callable[..., Daemon]) -> None:
    """A daemon that is stopping does not reload, and SIGHUP is no second request to end it."""
    daemon = start()
    stream = connected(await daemon.url())
    question = {"role": "user", "content": "[[stub text=one two deltas=2 every=0.5]]"}
    body = json.dumps({"model": "gpt-4o", "stream": True, "messages": [question]})
    stream.request("POST", "/v1/chat/completions", body)
    answer = await deferToThread(stream.getresponse)
    stopped = daemon.kill(signal.SIGTERM)
    await until(reactor, lambda: "Stopping; 1 requests in flight" in daemon.out)
    os.kill(daemon.pid, signal.SIGHUP)

    assert (await deferToThread(answer.read)).endswith(b"data: [DONE]\n\n")
    stream.close()
    assert 0 == (await stopped).code
    assert "reloaded" not in daemon.out


@pytest_twisted.ensureDeferred
async def test_a_terminal() -> None:
    """In a terminal SIGHUP reloads as well; when the terminal is closed, which sends it too, the daemon stops."""
    daemon = Daemon.start(reactor, {"WARM_PROCESSES": "0"}, terminal=True)
    await daemon.url()
    os.kill(daemon.pid, signal.SIGHUP)
    await until(reactor, lambda: "nothing has changed" in daemon.out)
    daemon.hang_up()
    try:
        await until(reactor, lambda: daemon.has_ended)
        assert 0 == (await daemon.ended()).code
    finally:
        if not daemon.has_ended:
            await daemon.kill(signal.SIGKILL)
