"""
What the model thinks, on the real CLI: when it is asked for, in which words, and where it goes.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from attrs import evolve

from claudeproxy.core.chat import Effort, Message, Role, Text, ToolResult, TurnSettings
from claudeproxy.core.events import ToolCallStarted
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.testing.anthropic import StubAnthropic
from tests.live.claude import Make, RecordingSink, chat

UNSEEN = TurnSettings(show_reasoning=False)

EFFORTLESS = {
    "sonnet": False,
    "claude-opus-4-5": False,
    "claude-sonnet-4-6": False,
    "claude-opus-4-7": False,
    "claude-haiku-5-5": False,
    "claude-unheard-of-9": False,
    "claude-3-7-sonnet-20250219": True,
    "claude-opus-4-0": True,
    "claude-opus-4-1": True,
    "claude-opus-4-1-20250805": True,
    "claude-sonnet-4-0": True,
    "claude-sonnet-4-20250514": True,
    "claude-sonnet-4-5": True,
    "claude-sonnet-4-5-20250929[1m]": True,
    "claude-haiku-4-5": True,
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": True,
}
"""Models, and whether the effort is fixed with them."""

RESTING = ("claude-opus-4-5", "claude-sonnet-4-6", "claude-opus-4-7", "claude-haiku-5-5")
"""Those of the others that can be kept from thinking."""


def thinking(stub: StubAnthropic) -> list[dict[str, Any] | None]:
    """What each request said of thinking."""
    return [request.body.get("thinking") for request in stub.requests]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("sonnet", {"type": "adaptive"}),
        ("haiku", {"type": "adaptive"}),
        ("claude-opus-4-6", {"type": "adaptive"}),
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 31999}),
        ("claude-opus-4-1", {"type": "enabled", "budget_tokens": 31999}),
        ("claude-3-5-haiku-20241022", None),
    ],
)
async def test_what_a_model_thinks_is_asked_for_in_its_own_way(
    model: str, expected: dict[str, Any] | None, claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """A summary is asked for where the model may think, and where that is not wanted, nothing in its place."""
    live, sink = claude(), RecordingSink()
    await live.backend.open(chat("[[stub text=42]]", model=model), sink)
    await live.backend.open(chat("[[stub text=42]]", sink.text, "again", model=model, settings=UNSEEN), sink)

    shown, unseen = thinking(stub_anthropic)
    assert shown == (expected and {**expected, "display": "summarized"})
    assert unseen == (expected and {**expected, "display": "omitted"})
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_each_turn_asks_for_itself(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """One conversation may change its mind with every turn, and effort and limits go their own way."""
    live = claude()
    texts = ["0"]
    asked = [
        UNSEEN,
        TurnSettings(),
        TurnSettings(effort=Effort.LOW, show_reasoning=False),
        TurnSettings(effort=Effort.NONE),
        TurnSettings(effort=Effort.NONE, show_reasoning=False),
        TurnSettings(max_tokens=2000),
    ]
    for number, settings in enumerate(asked):
        sink = RecordingSink()
        await live.backend.open(chat(*texts, settings=settings, model="claude-haiku-4-5"), sink)
        texts += [sink.text, str(number + 1)]

    assert [given and (given["display"], given["budget_tokens"]) for given in thinking(stub_anthropic)] == [
        ("omitted", 31999),
        ("summarized", 31999),
        ("omitted", 31999),
        None,
        None,
        ("summarized", 1999),
    ]
    assert live.started == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("model", EFFORTLESS)
async def test_the_effort_that_a_model_is_asked_for(model: str, claude: Make, stub_anthropic: StubAnthropic) -> None:
    """
    A client learns where the model is not asked for the effort that it wanted, and only there. Who wants no thoughts
    wants no shorter answer; only a model that always thinks is asked for the least of it.
    """
    live, texts = claude(), ["42"]
    heads = []
    for settings in (TurnSettings(effort=Effort.LOW), TurnSettings(), TurnSettings(effort=Effort.NONE)):
        sink = RecordingSink()
        await live.backend.open(chat(*texts, model=model, settings=settings), sink)
        assert sink.head is not None
        heads.append(sink.head)
        texts += [sink.text, "again"]

    low, usual, none = (request.body.get("output_config", {}).get("effort") for request in stub_anthropic.requests)
    fixed = EFFORTLESS[model]
    assert low == (None if fixed else "low")
    assert none == (usual if fixed or model in RESTING else "low")
    assert [head.ignored for head in heads] == [("reasoning_effort",) if fixed else (), (), ()]
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_no_display_is_asked_of_a_model_that_must_call(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """A forced call comes without thinking, which the API would refuse, and so without a word of how to show it."""
    settings = TurnSettings(tool_choice=ToolChoice(ToolUse.REQUIRED))
    request = chat("[[stub call=f]]", model="haiku", tools=(Tool("f"),), settings=settings)
    await claude().backend.open(request, RecordingSink())

    assert thinking(stub_anthropic) == [None]


@pytest_twisted.ensureDeferred
async def test_a_parked_process_goes_on_as_it_began(claude: Make, stub_anthropic: StubAnthropic) -> None:
    """The display that a turn began with holds until it ends, and the next turn has its own."""
    live, sink, after = claude(), RecordingSink(), RecordingSink()
    more: dict[str, Any] = {"tools": (Tool("f"),)}
    await live.backend.open(chat("[[stub call=f]]", **more), sink)
    assert sink.head is not None
    (call,) = [event for event in sink.events if isinstance(event, ToolCallStarted)]
    result = Message(Role.USER, (ToolResult(call.call_id, (Text("[[stub text=done]]"),)),))
    session = {"session_id": sink.head.session_id, "settings": UNSEEN, **more}
    await live.backend.open(evolve(chat(**session), messages=(result,)), after)
    await live.backend.open(chat("on", **session), RecordingSink())

    assert after.text == "done"
    displays = [given["display"] for given in thinking(stub_anthropic) if given is not None]
    assert displays == ["summarized", "summarized", "omitted"]
    assert live.started == 1


@pytest_twisted.ensureDeferred
async def test_thinking_is_counted(claude: Make) -> None:
    """The tokens of thinking are part of the answer's, as the API counted them."""
    sink = RecordingSink()
    await claude().backend.open(chat("[[stub thinking=let me see text=42]]"), sink)

    assert (sink.reasoning, sink.text) == ("let me see", "42")
    assert (sink.usage.usage.output_tokens, sink.usage.usage.reasoning_tokens) == (4, 3)
