"""
``Idempotency-Key`` from OpenAI's own client, against the daemon with the real CLI and an upstream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from attrs import frozen
from openai import ConflictError, OpenAI
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from tests.helpers import real_cli
from tests.live.claude import until
from tests.live.daemon import Daemon

MODELS = pytest.mark.parametrize("model", ["sonnet", "gpt-4o"])


@frozen
class Front:
    """
    A daemon, and how often what is behind it was asked.
    """

    daemon: Daemon
    url: str
    stubs: tuple[StubAnthropic, StubOpenAI]

    @property
    def asked(self) -> int:
        """How many requests reached a model."""
        return sum(len(stub.requests) for stub in self.stubs)

    def client(self, retries: int = 0) -> OpenAI:
        """A client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="secret", max_retries=retries)

    def accesses(self) -> list[tuple[int, bool]]:
        """Status of each request, and whether its answer was an earlier one's."""
        lines = [line for line in self.daemon.log() if line["namespace"] == "claudeproxy.access"]
        return [(line["status"], line.get("replayed", False)) for line in lines]


@pytest_twisted.async_yield_fixture
async def front(stub_anthropic: StubAnthropic, stub_openai: StubOpenAI) -> AsyncIterator[Front]:
    """A daemon of its own, before both stubs."""
    settings = {
        "API_KEY": "secret",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub_anthropic.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "0",
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": stub_openai.base_url,
    }
    daemon = Daemon.start(reactor, settings)
    yield Front(daemon, await daemon.url(), (stub_anthropic, stub_openai))
    await daemon.kill()


def asking(model: str, text: str, key: str, **more: Any) -> dict[str, Any]:
    """The arguments of a request with a key."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "extra_headers": {"Idempotency-Key": key},
        **more,
    }


@MODELS
@pytest_twisted.ensureDeferred
async def test_a_repeat_of_the_openai_client(model: str, front: Front) -> None:
    """The client gets the same answer again, whole and streamed, and the model is asked once for each."""

    def converse() -> list[Any]:
        heard = []
        with front.client() as client:
            for _ in range(2):
                raw = client.chat.completions.with_raw_response.create(**asking(model, "Hello", "k-1"))
                heard.append((raw.text, raw.headers.get("idempotent-replayed")))
            for _ in range(2):
                with client.chat.completions.create(**asking(model, "Hello", "k-2", stream=True)) as stream:
                    heard.append([chunk.model_dump_json() for chunk in stream])
        return heard

    (first, fresh), (again, replayed), chunks, chunks_again = await deferToThread(converse)

    assert (first, None, "true") == (again, fresh, replayed)
    assert chunks == chunks_again and len(chunks) > 2
    assert 2 == front.asked


@MODELS
@pytest_twisted.ensureDeferred
async def test_a_client_that_asks_again_too_early(model: str, front: Front) -> None:
    """A client that repeats itself while the first request runs waits by itself, and gets the first one's answer."""
    prompt = asking(model, "[[stub delay=1.2 text=once]]", "k")

    def ask(retries: int) -> Any:
        with front.client(retries) as client:
            return client.chat.completions.create(**prompt)

    first = deferToThread(ask, 0)
    await until(reactor, lambda: front.asked == 1)

    def hurry() -> None:
        with pytest.raises(ConflictError, match="still running"):
            ask(0)

    await deferToThread(hurry)
    again = await deferToThread(ask, 10)

    assert (await first) == again
    assert 1 == front.asked
    assert (409, False) in front.accesses() and (200, True) == front.accesses()[-1]


@MODELS
@pytest_twisted.ensureDeferred
async def test_a_client_that_lost_its_connection(model: str, front: Front) -> None:
    """A stream that its client lost is stopped, and the repeat is a new one, which is whole and then kept."""
    prompt = asking(model, f"[[stub bytes=400 deltas=40 every=0.05]] {uuid4()}", "k", stream=True)

    def converse() -> list[str]:
        with front.client() as client, client.chat.completions.create(**prompt) as stream:
            next(stream)
        told = []
        with front.client(retries=10) as client:
            for _ in range(2):
                with client.chat.completions.create(**prompt) as stream:
                    told.append("".join(chunk.choices[0].delta.content or "" for chunk in stream))
        return told

    second, third = await deferToThread(converse)

    assert 400 == len(second)
    assert second == third
    assert 2 == front.asked
    assert (200, True) == front.accesses()[-1]
