"""
Each turn has the settings that came with it, and nothing of the turns before: random ones on live conversations.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.directives import in_json
from tests.live.claude import LiveBackend, Make
from tests.live.completions import cli_session, complete
from tests.live.expected import canonical, difference
from tests.live.odd import JSON, Dice
from tests.live.turn_model import BY_CALL, TOOLS, Course, Defaults, Expected, options

CASES = int(os.environ.get("SETTINGS_CASES", "3"))
SEED = os.environ.get("SETTINGS_SEED", "1")
TURNS = 14
"""Of both conversations of a case together."""
THOUGHT = "Let me see."


@define
class Talk:
    """
    A client and its conversation, which goes on and on.
    """

    live: LiveBackend
    stub: StubAnthropic
    course: Course
    messages: list[JSON] = field(factory=list)
    processes: set[str] = field(factory=set)

    async def turn(self, dice: Dice, *, by_call: bool) -> None:
        """
        Say something, with random settings, and compare what the API gets with what these say.
        """
        asked = options(dice, tools=bool(self.course.offer), by_call=by_call)
        # A form does not go well with an answer that has begun, nor does that with a call that must be made.
        begun = not {"response_format", "tool_choice"} & asked.keys() and dice.once_in(8)
        expected = self.course.turn(asked, begun=begun)
        answer, thinks = directed(dice, expected)
        self.messages += self._said(answer)
        prefill = [{"role": "assistant", "content": "Well"}] if begun else []
        body = {"model": "sonnet", "messages": [*self.messages, *prefill], **self.course.offer, **asked}
        before = len(self.stub.requests)
        completion = await complete(self.live, body, tenant="t")
        (recorded,) = self.stub.requests[before:]
        self.compare(asked, expected, recorded.body)
        assert completion.ignored == expected.ignored, asked
        message = completion.message
        if begun:
            message = {**message, "content": f"Well{message['content'] or ''}"}
        self.messages.append(message)
        self.course.answered(calls=bool(message.get("tool_calls")), thought=thinks)
        self.processes.add(cli_session(recorded))

    def _said(self, answer: str) -> list[JSON]:
        """Return what the client says next: results, if they are waited for."""
        calls = (self.messages[-1].get("tool_calls") or []) if self.messages else []
        if not calls:
            return [{"role": "user", "content": f"Hello {answer}"}]
        return [{"role": "tool", "tool_call_id": call["id"], "content": f"42 {answer}"} for call in calls]

    def compare(self, asked: JSON, expected: Expected, got: JSON) -> None:
        """Compare a recorded request with what is expected of it."""
        settings = {name: got[name] for name in got if name not in _NOT_SETTINGS}
        same("settings", asked, expected.settings, settings)
        own = [tool for tool in got["tools"] if tool["name"] != BY_CALL]
        same("tools", asked, expected.tools, own)
        assert expected.called_form == (len(own) < len(got["tools"])), asked
        assert expected.thinks == ("thinking" in got), asked
        notes = [each["output_config"] for each in got["messages"] if "output_config" in each]
        if notes and expected.thinks:
            # What the CLI notes of the effort, from which on it holds.
            assert notes[-1]["effort"] == expected.settings["output_config"]["effort"], asked


_NOT_SETTINGS = ("model", "messages", "system", "tools", "metadata", "stream", "thinking", "context_management")


def directed(dice: Dice, expected: Expected) -> tuple[str, bool]:
    """
    Draw an answer that a model could give; return what has the stub give it, and whether it holds thoughts.
    """
    calls: list[tuple[str, str]] = []
    text: str | None = "fine"
    if expected.called_form:
        text, calls = None, [(BY_CALL, '{"x": 1}')]
    elif expected.forced or (expected.names and not expected.form and dice.once_in(2)):
        text, calls = None, [(dice.choice(expected.names), "{}")]
    elif expected.form:
        text = '{"x": 1}'
    thinks = expected.thinks and dice.once_in(2)
    return in_json(text=text, thinking=THOUGHT if thinks else None, calls=calls), thinks


def same(what: str, asked: JSON, expected: Any, got: Any) -> None:
    """Fail where two JSON values differ; say what was asked for."""
    if canonical(expected) != canonical(got):
        pytest.fail(f"{json.dumps(asked)}: {difference(what, expected, got)}")


async def defaults(live: LiveBackend, stub: StubAnthropic) -> Defaults:
    """What the CLI sends for a request that asks for nothing."""
    await complete(live, {"model": "sonnet", "messages": [{"role": "user", "content": "Hello"}]}, tenant="another")
    body = stub.requests[-1].body
    return Defaults(body["max_tokens"], body["output_config"]["effort"])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("case", range(CASES))
@pytest.mark.parametrize("sampling", ["honour", "ignore"])
async def test_settings_end_with_their_turn(
    sampling: str, case: int, claude: Make, stub_anthropic: StubAnthropic
) -> None:
    """
    On two conversations in turns, one with functions, each request holds exactly what was asked for in its turn; and
    each conversation stays with its process, unless the answer must be given by a call that this one does not know.
    """
    dice = Dice(f"{SEED}:{sampling}:{case}")
    # What models refuse is of no interest here.
    stub_anthropic.strict = False
    live = claude(SAMPLING=sampling)
    usual = await defaults(live, stub_anthropic)
    by_call = dice.once_in(3)
    courses = (Course(usual, sampling == "honour", TOOLS), Course(usual, sampling == "honour", {}))
    talks = [Talk(live, stub_anthropic, course) for course in courses]
    for _ in range(TURNS):
        await dice.choice(talks).turn(dice, by_call=by_call)

    assert [len(talk.processes) for talk in talks] == [course.processes for course in courses]
    if not by_call:
        assert [course.processes for course in courses] == [1, 1]
