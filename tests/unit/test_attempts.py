"""
What is tried after a refusal, and what is learned from it.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from claudeproxy.backends.claude.requests.attempts import Attempts
from claudeproxy.backends.claude.requests.features import Feature, Refusals
from claudeproxy.backends.claude.requests.ways import Way
from claudeproxy.core.chat import AnswerFormat, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice, ToolUse
from claudeproxy.errors import AnswerNotJSON, RequestRefused

ALL = {Feature.SYSTEM: "", Feature.PREFILL: "", Feature.STRICT: "digest", Feature.MISPLACED: ""}
PREFILL = "Prefilling assistant messages is not supported for this model."
SYSTEM = 'messages: Unexpected role "system".'
MISPLACED = (
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."
)
BAD = "Could not process image"


def run(refusals: Refusals, features: dict[Feature, str], *messages: str) -> list[set[Feature]]:
    """Return what each attempt did without, when the first are refused with these words."""
    attempts = Attempts(refusals, "sonnet", features)
    without = []
    for message in (*messages, None):
        way = Way.of(TurnSettings(), (), (), attempts.refused)
        without.append(set(attempts.refused))
        if message is None:
            attempts.succeeded(way)
        else:
            attempts.refused_by_api(way, RequestRefused(message))
    return without


def test_each_refusal_is_a_lesson() -> None:
    """What a refusal's words are about is left out next, and known the next time."""
    refusals = Refusals(Clock())

    assert run(refusals, ALL, PREFILL, SYSTEM) == [set(), {Feature.PREFILL}, {Feature.PREFILL, Feature.SYSTEM}]
    assert run(refusals, ALL) == [{Feature.PREFILL, Feature.SYSTEM}]


def test_words_about_nothing_leave_out_everything() -> None:
    """All at once, which teaches nothing; thoughts out of their place the API would have named."""
    refusals = Refusals(Clock())

    assert run(refusals, ALL, "400") == [set(), {Feature.SYSTEM, Feature.PREFILL, Feature.STRICT}]
    assert run(refusals, ALL) == [set()]


def test_thoughts_out_of_place_are_named_without_doubt() -> None:
    """Though the words would fit others as well."""
    features = {**ALL, Feature.THOUGHTS: "digest"}

    assert run(Refusals(Clock()), features, MISPLACED) == [set(), {Feature.MISPLACED}]


@pytest.mark.parametrize("features", [{}, {Feature.MISPLACED: ""}, ALL])
def test_the_first_words_are_told(features: dict[Feature, str]) -> None:
    """When nothing is left to do without, the client learns what the API said of its request as it was."""
    attempts = Attempts(Refusals(Clock()), "sonnet", features)
    words = [BAD, PREFILL, SYSTEM, "400", "401", "402"]
    tried = 0
    with pytest.raises(RequestRefused, match=BAD):
        for word in words:
            tried += 1
            attempts.refused_by_api(Way.of(TurnSettings(), (), (), attempts.refused), RequestRefused(word))
    assert tried == (2 if features is ALL else 1)


@pytest.mark.parametrize(
    ("words", "learned"),
    [
        ('tool_choice: type "tool" and "any" are not supported for this model.', {Feature.FORCED}),
        ("tools.1.custom.input_schema: JSON schema is invalid.", set()),
    ],
)
def test_force_is_to_blame_only_where_it_is_named(words: str, learned: set[Feature]) -> None:
    """Where nothing is forced, functions that must not be called are left out too: one of them may be wrong."""
    refusals = Refusals(Clock())
    features = {Feature.FORCED: ""}
    settings, tools = TurnSettings(tool_choice=ToolChoice(ToolUse.ONE, "good")), (Tool("good"), Tool("bad"))
    attempts = Attempts(refusals, "sonnet", features)
    attempts.refused_by_api(Way.of(settings, tools, (), attempts.refused), RequestRefused(words))
    attempts.succeeded(Way.of(settings, tools, (), attempts.refused))

    assert refusals.of("sonnet", features) == learned


def test_an_answer_that_is_no_object_is_a_lesson_beside_others() -> None:
    """A refusal before it is for what that attempt did without; both are known the next time."""
    refusals = Refusals(Clock())
    features = {Feature.FORMAT: "digest", Feature.SYSTEM: ""}
    settings = TurnSettings(format=AnswerFormat({"type": "object"}))
    attempts = Attempts(refusals, "sonnet", features)
    attempts.refused_by_api(Way.of(settings, (), (), attempts.refused), RequestRefused(SYSTEM))
    attempts.is_no_object(Way.of(settings, (), (), attempts.refused), AnswerNotJSON("prose"))
    attempts.succeeded(Way.of(settings, (), (), attempts.refused))

    assert refusals.of("sonnet", features) == {Feature.FORMAT, Feature.SYSTEM}


def test_there_are_four_attempts_at_most() -> None:
    """Whatever the refusals name; the last attempt does without all that a model may refuse."""
    features = {**ALL, Feature.SAMPLING: "", Feature.FORCED: ""}
    attempts = Attempts(Refusals(Clock()), "sonnet", features)
    for words in (PREFILL, SYSTEM, "temperature"):
        attempts.refused_by_api(Way.of(TurnSettings(), (), (), attempts.refused), RequestRefused(words))

    assert attempts.refused >= features.keys() - {Feature.FORCED}
    with pytest.raises(RequestRefused, match="Prefilling"):
        attempts.refused_by_api(Way.of(TurnSettings(), (), (), attempts.refused), RequestRefused("strict"))
