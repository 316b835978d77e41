"""
What answers cost, on the real CLI, which counts by its own list of prices.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from attrs import evolve

from claudeproxy.core.chat import Message, Role, Text, ToolResult
from claudeproxy.core.events import ToolCallStarted, Usage
from claudeproxy.core.tools import Tool
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from tests.live.claude import LiveBackend, Make, RecordingSink, chat

TOOLS: dict[str, Any] = {"tools": (Tool("f"), Tool("g"))}


def price(request: RecordedRequest) -> float:
    """What a request costs, in USD, with the model whose prices are below."""
    assert request.body["model"] == "claude-haiku-4-5"
    usage = request.usage
    return (
        1.0 * usage["input_tokens"]
        + 1.25 * usage["cache_creation_input_tokens"]
        + 0.1 * usage["cache_read_input_tokens"]
        + 5.0 * usage["output_tokens"]
    ) / 1e6


async def asked(live: LiveBackend, text: str, *results: str, session: str | None = None) -> tuple[RecordingSink, Usage]:
    """Serve a turn: what the user says, or the results of these calls with that text."""
    sink = RecordingSink()
    request = chat(text, model="claude-haiku-4-5", session_id=session, **TOOLS)
    if results:
        returned = [ToolResult(call_id, (Text(text),)) for call_id in results]
        request = evolve(request, messages=(Message(Role.USER, returned),))
    await live.backend.open(request, sink)
    return sink, sink.usage.usage


def named(sink: RecordingSink) -> tuple[str, list[str]]:
    """A turn's session, and the ids of its calls."""
    assert sink.head is not None
    return sink.head.session_id, [event.call_id for event in sink.events if isinstance(event, ToolCallStarted)]


@pytest_twisted.ensureDeferred
async def test_each_answer_has_its_own_cost(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """Whole answers, and those that call functions, cost what their own tokens do; nothing is told twice."""
    live = claude()
    told = []
    sink, usage = await asked(live, "[[stub text=a b c]]")
    told.append(usage.cost_usd)
    session, _ = named(sink)
    for text in ("[[stub thinking=x y z text=Well. call=f {} call=g {}]]", "[[stub call=f {}]]", "[[stub text=done]]"):
        _, calls = named(sink)
        sink, usage = await asked(live, text, *calls, session=session)
        told.append(usage.cost_usd)
    _, usage = await asked(live, "thanks", session=session)
    told.append(usage.cost_usd)

    assert live.started == 1
    assert len(stub_anthropic.requests) == 5
    assert told == pytest.approx([price(request) for request in stub_anthropic.requests], rel=1e-6)


@pytest_twisted.ensureDeferred
async def test_a_cost_that_is_not_known_is_not_told(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """An answer that was cut off has no cost, rather than none to pay or another one's; the next has its own."""
    live = claude()
    sink, usage = await asked(live, "[[stub text=a b stop=max_tokens]]")
    session, _ = named(sink)
    _, after = await asked(live, "on", session=session)

    assert usage.cost_usd is None
    assert after.cost_usd == pytest.approx(price(stub_anthropic.requests[-1]))


@pytest_twisted.ensureDeferred
async def test_a_cli_with_a_login_of_its_own_is_not_asked(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """
    It would ask Anthropic first, for each call of a function. What the call costs is in the cost of the answer that
    follows.
    """
    live = claude(CLAUDE_LOGIN="true")
    sink, usage = await asked(live, "[[stub call=f {}]]")
    session, calls = named(sink)
    _, after = await asked(live, "[[stub text=done]]", *calls, session=session)

    assert usage.cost_usd is None
    assert after.cost_usd == pytest.approx(sum(map(price, stub_anthropic.requests)))
