"""
What OpenAI's own client reads of answers: reasoning, cost, refusals, and calls in the older form.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from openai import ContentFilterFinishReasonError, OpenAI
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.claude import until
from tests.live.daemon import Daemon

ADD: Any = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
}
THINKS = "[[stub thinking=let me see text=42]]"
TAGGED = "<think>\nlet me see\n</think>\n\n42"


@pytest_twisted.async_yield_fixture
async def daemon(stub_anthropic: StubAnthropic, tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon of its own, with the file ``claudeproxy.toml``."""
    (tmp_path / "claudeproxy.toml").write_text("")
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub_anthropic.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "0",
        "CONFIG": str(tmp_path / "claudeproxy.toml"),
    }
    made = Daemon.start(reactor, settings)
    await made.url()
    yield made
    await made.kill()


@pytest_twisted.async_yield_fixture
async def client(daemon: Daemon) -> AsyncIterator[OpenAI]:
    """A client of it."""
    with OpenAI(base_url=f"{await daemon.url()}/v1", api_key="any", max_retries=0) as made:
        yield made


def whole(client: OpenAI, messages: list[Any], **more: Any) -> Any:
    """The next answer, in one piece."""
    return client.chat.completions.create(model="sonnet", messages=messages, **more)


def streamed(client: OpenAI, messages: list[Any], **more: Any) -> Any:
    """The next answer, put together by the client from its stream."""
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(model="sonnet", messages=messages, stream_options=options, **more) as stream:
        return stream.get_final_completion()


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ask", [whole, streamed])
async def test_the_choice_of_where_the_reasoning_is(
    ask: Any, daemon: Daemon, client: OpenAI, stub_anthropic: StubAnthropic, tmp_path: Path
) -> None:
    """Each choice holds from a reload on; with tags a conversation still goes on in its process."""

    def converse() -> tuple[Any, Any]:
        first = ask(client, said(THINKS)).choices[0].message
        # What this client makes of a stream has members that it does not take back.
        messages = [*said(THINKS), {"role": "assistant", "content": first.content}, *said("And now?")]
        return first, ask(client, messages).choices[0].message

    read = {}
    for place in ("content", "think-tags", "off"):
        (tmp_path / "claudeproxy.toml").write_text(f'reasoning = "{place}"\n')
        count = daemon.out.count("The configuration was reloaded")
        os.kill(daemon.pid, signal.SIGHUP)
        await until(reactor, lambda count=count: daemon.out.count("The configuration was reloaded") > count)
        read[place], _ = await deferToThread(converse)

    extra = {place: message.model_extra.get("reasoning_content") for place, message in read.items()}
    assert {place: message.content for place, message in read.items()} == {
        "content": "42",
        "think-tags": TAGGED,
        "off": "42",
    }
    assert extra == {"content": "let me see", "think-tags": None, "off": None}
    assert read["content"].model_extra["reasoning"] == "let me see"
    displays = [request.body["thinking"]["display"] for request in stub_anthropic.requests]
    assert displays == ["summarized"] * 4 + ["omitted"] * 2
    # The thoughts come back from the process alone: it was recognised by the text without its tags.
    for request in stub_anthropic.requests[1::2]:
        (answer,) = [message for message in request.body["messages"] if message["role"] == "assistant"]
        assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
        assert answer["content"][1]["text"] == "42"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ask", [whole, streamed])
async def test_usage_has_all_its_parts(ask: Any, client: OpenAI, stub_anthropic: StubAnthropic) -> None:
    """Cached and reasoning tokens are told apart, and the cost is there, of a stream too."""

    def converse() -> Any:
        first = ask(client, said(THINKS)).choices[0].message.content
        return ask(client, [*said(THINKS), {"role": "assistant", "content": first}, *said(THINKS)]).usage

    usage = await deferToThread(converse)
    counted = stub_anthropic.requests[-1].usage

    assert usage.prompt_tokens_details.cached_tokens == counted["cache_read_input_tokens"] > 0
    assert usage.completion_tokens_details.reasoning_tokens == 3
    assert usage.completion_tokens == counted["output_tokens"] == 4
    assert usage.model_extra["cost"] > 0


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ask", [whole, streamed])
async def test_the_older_form_of_calls(ask: Any, client: OpenAI, stub_anthropic: StubAnthropic) -> None:
    """A program from before tool calls has its loop: the call, its result, and the answer with it."""
    prompt = '[[stub text=Well. call=add {"a": 40, "b": 2} call=add {"a": 1, "b": 1}]]'

    def converse() -> tuple[Any, Any, Any]:
        first = ask(client, said(prompt), functions=[ADD]).choices[0]
        call = first.message.function_call
        numbers = json.loads(call.arguments)
        messages = [
            *said(prompt),
            {"role": "assistant", "content": first.message.content, "function_call": call.model_dump()},
            {"role": "function", "name": call.name, "content": str(numbers["a"] + numbers["b"])},
        ]
        second = ask(client, messages, functions=[ADD]).choices[0]
        messages += [{"role": "assistant", "content": second.message.content}, *said("Thanks.")]
        return first, second, ask(client, messages, functions=[ADD]).choices[0]

    first, second, third = await deferToThread(converse)

    assert (first.finish_reason, first.message.content) == ("function_call", "Well.")
    assert first.message.function_call.model_dump() == {"name": "add", "arguments": '{"a": 40, "b": 2}'}
    assert first.message.tool_calls is None
    assert (second.finish_reason, second.message.function_call) == ("stop", None)
    assert "42" in second.message.content
    assert third.finish_reason == "stop"
    one, two, three = (request.body for request in stub_anthropic.requests)
    assert one["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    calls = [block for block in two["messages"][1]["content"] if block["type"] == "tool_use"]
    (result,) = two["messages"][2]["content"]
    assert [(call["name"], call["input"]) for call in calls] == [("add", {"a": 40, "b": 2})]
    assert (result["tool_use_id"], result["content"][0]["text"]) == (calls[0]["id"], "42")
    assert [message["role"] for message in three["messages"]] == ["user", "assistant", "user", "assistant", "user"]


@pytest_twisted.ensureDeferred
async def test_the_older_form_goes_on_in_its_session(client: OpenAI, stub_anthropic: StubAnthropic) -> None:
    """A session knows the id of the call, which the client does not."""
    prompt = "[[stub call=add {}]]"

    def converse() -> Any:
        first = client.chat.completions.with_raw_response.create(model="sonnet", messages=said(prompt), functions=[ADD])
        call = first.parse().choices[0].message.function_call
        assert call is not None
        messages: list[Any] = [
            *said(prompt),
            {"role": "assistant", "content": None, "function_call": call.model_dump()},
            {"role": "function", "name": "add", "content": "42"},
        ]
        session = {"X-Claude-Session-ID": first.headers["x-claude-session-id"]}
        return whole(client, messages, functions=[ADD], extra_headers=session).choices[0]

    answer = await deferToThread(converse)

    assert (answer.finish_reason, "42" in answer.message.content) == ("stop", True)
    # In the parked process; the CLI's own notes are of role system.
    messages = [message for message in stub_anthropic.requests[1].body["messages"] if message["role"] != "system"]
    called, returned = (message["content"][-1] for message in messages[1:])
    assert called["id"].startswith("toolu_")
    assert (returned["tool_use_id"], returned["content"][0]["text"]) == (called["id"], "42")


@pytest_twisted.ensureDeferred
async def test_what_an_answer_costs_is_in_its_head_and_in_the_log(daemon: Daemon, client: OpenAI) -> None:
    """Also of one that calls a function, whose turn is not over."""

    def ask() -> list[str]:
        create = client.chat.completions.with_raw_response.create
        tool: Any = {"type": "function", "function": ADD}
        prompts = ("[[stub text=a]]", "[[stub call=add {}]]")
        answers = [create(model="sonnet", messages=said(prompt), tools=[tool]) for prompt in prompts]
        return [answer.headers["x-claude-cost-usd"] for answer in answers]

    told = await deferToThread(ask)
    await until(reactor, lambda: sum("cost_usd" in line for line in daemon.log()) == 2)

    logged = [line["cost_usd"] for line in daemon.log() if "cost_usd" in line]
    assert [float(cost) for cost in told] == logged
    assert all(cost > 0 for cost in logged)


@pytest_twisted.ensureDeferred
async def test_a_refusal_explains_itself(client: OpenAI) -> None:
    """What the API says of its refusal is the message's refusal; the helpers raise their error of the filter."""
    prompt = said("[[stub bytes=0 stop=refusal explanation=It violates the policy.]]")
    choice = (await deferToThread(whole, client, prompt)).choices[0]
    with pytest.raises(ContentFilterFinishReasonError):
        await deferToThread(streamed, client, prompt)

    assert (choice.finish_reason, choice.message.content) == ("content_filter", None)
    assert choice.message.refusal == "It violates the policy."
