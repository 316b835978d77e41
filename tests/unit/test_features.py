"""
What a model may refuse of a turn, and how that is said otherwise.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from claudeproxy.backends.claude.requests.features import Feature, Refusals, emulated, features_of, suspected
from claudeproxy.core.chat import AnswerFormat, Message, Role, Text, Thinking, ToolCall, ToolResult, TurnSettings
from claudeproxy.core.tools import Tool

USER, SYSTEM, BEGUN = Message(Role.USER, "Hi"), Message(Role.SYSTEM, "Be brief."), Message(Role.ASSISTANT, "It")


def test_what_a_turn_may_be_refused_for() -> None:
    """Each feature is found, and a plain turn has none."""
    everything = TurnSettings(format=AnswerFormat({"type": "object"}), temperature=0.1)
    thought = Message(Role.ASSISTANT, (Thinking("Hm", "sig"), ToolCall("c", "f", "{}")))
    assert features_of(TurnSettings(), [USER], [Tool("f")]) == {}
    assert set(features_of(everything, [USER, SYSTEM, USER, thought, BEGUN], [Tool("f", strict=True)])) == set(Feature)


def test_old_thoughts_are_no_feature() -> None:
    """The API is told only of those since the user's last words, so no refusal can be for the others."""
    thought = Message(Role.ASSISTANT, (Thinking("Hm", "sig"), ToolCall("c", "f", "{}")))
    result = Message(Role.USER, (ToolResult("c", (Text("1"),)),))
    assert Feature.THOUGHTS in features_of(TurnSettings(), [USER, thought, result])
    assert Feature.THOUGHTS not in features_of(TurnSettings(), [USER, thought, result, BEGUN, USER])


@pytest.mark.parametrize(
    ("messages", "which"),
    [
        ([USER, SYSTEM], ""),
        ([USER, SYSTEM, SYSTEM, BEGUN, USER, SYSTEM], ""),
        ([SYSTEM, USER], "elsewhere"),
        ([USER, BEGUN, SYSTEM, USER], "elsewhere"),
        ([USER, SYSTEM, BEGUN, SYSTEM, USER], "elsewhere"),
    ],
)
def test_where_the_system_speaks(messages: list[Message], which: str) -> None:
    """Models that take its messages take them after the user's: what they refuse elsewhere says nothing of that."""
    assert features_of(TurnSettings(), messages)[Feature.SYSTEM] == which


@pytest.mark.parametrize(
    "refusal",
    [
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter.',
        "role 'system' is not supported on this model",
        "messages.0: use the top-level 'system' parameter for the initial system prompt",
    ],
)
def test_the_words_against_messages_of_the_system(refusal: str) -> None:
    """They have changed over the years."""
    assert suspected(refusal, (Feature.FORCED, Feature.SYSTEM, Feature.PREFILL)) == {Feature.SYSTEM}


@pytest.mark.parametrize(
    ("refusal", "suspects"),
    [
        ('tool_choice: type "tool" and "any" are not supported for this model.', {Feature.FORCED}),
        ("tools.0.custom.strict: Schema is too complex.", {Feature.STRICT}),
        ("output_config.format: Schema is too complex.", {Feature.STRICT}),
        ("output_config.format: not supported", {Feature.FORMAT}),
        ("temperature: not supported", {Feature.FORCED, Feature.STRICT, Feature.FORMAT}),
        ("Something else", {Feature.FORCED, Feature.STRICT, Feature.FORMAT}),
    ],
)
def test_a_refusal_says_what_to_try_without(refusal: str, suspects: set[Feature]) -> None:
    """Of what the request has, the first that the words are about; where they are about nothing of it, all."""
    assert suspected(refusal, (Feature.FORCED, Feature.STRICT, Feature.FORMAT)) == suspects


def test_the_memory_of_refusals_is_bounded() -> None:
    """The oldest goes first."""
    refusals = Refusals(Clock())
    for number in range(1001):
        refusals.note("m", Feature.FORMAT, str(number))

    assert refusals.of("m", {Feature.FORMAT: "0"}) == frozenset()
    assert refusals.of("m", {Feature.FORMAT: "1"}) == {Feature.FORMAT}
    assert refusals.of("n", {Feature.FORMAT: "1"}) == frozenset()


def test_a_refusal_is_remembered_for_an_hour() -> None:
    """Models learn."""
    clock = Clock()
    refusals = Refusals(clock)
    refusals.note("m", Feature.SYSTEM, "")
    clock.advance(3599)
    assert refusals.of("m", {Feature.SYSTEM: ""}) == {Feature.SYSTEM}
    clock.advance(1)

    assert refusals.of("m", {Feature.SYSTEM: ""}) == frozenset()


def test_only_what_is_refused_is_said_otherwise() -> None:
    """The rest of the conversation stays as it is."""
    told = (USER, SYSTEM, USER, BEGUN)
    assert emulated(told, frozenset({Feature.FORMAT})) == told
    assert [message.role for message in emulated(told, frozenset({Feature.SYSTEM}))] == ["user"] * 3 + ["assistant"]
    assert emulated(told, frozenset({Feature.PREFILL}))[:4] == told
