"""
The tool loop of OpenAI's own client against the daemon with the real CLI.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from openai import BadRequestError, OpenAI
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.daemon import Daemon

ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
PROMPT = '[[stub call=add {"a": 40, "b": 2} call=add {"a": 1, "b": 1}]]'


@pytest_twisted.async_yield_fixture
async def client(stub_anthropic: StubAnthropic) -> AsyncIterator[OpenAI]:
    """A client of a daemon of its own."""
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub_anthropic.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "0",
    }
    daemon = Daemon.start(reactor, settings)
    with OpenAI(base_url=f"{await daemon.url()}/v1", api_key="any", max_retries=0) as made:
        yield made
    await daemon.kill()


def whole(client: OpenAI, messages: list[Any]) -> Any:
    """The next answer, in one piece."""
    return client.chat.completions.create(model="sonnet", messages=messages, tools=[ADD]).choices[0]


def streamed(client: OpenAI, messages: list[Any]) -> Any:
    """The next answer, put together by the client from its stream."""
    with client.chat.completions.stream(model="sonnet", messages=messages, tools=[ADD]) as stream:
        return stream.get_final_completion().choices[0]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ask", [whole, streamed])
async def test_the_tool_loop_of_the_openai_client(ask: Any, client: OpenAI, stub_anthropic: StubAnthropic) -> None:
    """The client gets both calls, runs its function, and the model gets the results."""

    def converse() -> tuple[Any, Any]:
        messages: list[Any] = [{"role": "user", "content": PROMPT}]
        first = ask(client, messages)
        messages.append(first.message)
        for call in first.message.tool_calls:
            numbers = json.loads(call.function.arguments)
            content = str(numbers["a"] + numbers["b"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        return first, ask(client, messages)

    first, last = await deferToThread(converse)

    assert first.finish_reason == "tool_calls"
    assert [call.function.name for call in first.message.tool_calls] == ["add", "add"]
    assert (last.finish_reason, last.message.tool_calls) == ("stop", None)
    assert "42; 2" in last.message.content
    assert len(stub_anthropic.requests) == 2
    results = stub_anthropic.requests[1].body["messages"][-1]["content"]
    assert [block["content"][0]["text"] for block in results] == ["42", "2"]


@pytest_twisted.ensureDeferred
async def test_a_result_that_is_missing_is_named(client: OpenAI) -> None:
    """A client that forgets a result is told which."""
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_2", "content": "2"},
    ]

    def ask() -> BadRequestError:
        with pytest.raises(BadRequestError) as raised:
            whole(client, messages)
        return raised.value

    error = await deferToThread(ask)
    assert "call_1" in str(error.body) and "call_2" not in str(error.body)
