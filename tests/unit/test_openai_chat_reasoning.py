"""
Where the answers of Chat Completions have what the model thought.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from claudeproxy.core.chat import Message, Role, Text, ToolCall
from claudeproxy.core.events import (
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReport,
)
from claudeproxy.core.reasoning import Reasoning
from claudeproxy.wire.openai_chat import without_thoughts
from tests.unit.test_openai_chat_answer import chunks, stream, whole

CALL: list[StreamEvent] = [ToolCallStarted(0, "call_1", "f"), ToolCallDelta(0, "{}")]
THOUGHT: list[StreamEvent] = [ReasoningDelta("Let me"), ReasoningDelta(" see.")]
TAGGED = "<think>\nLet me see.\n</think>\n\n"
TAGS = {"reasoning": Reasoning.THINK_TAGS}
OFF = {"reasoning": Reasoning.OFF}


def end(reason: FinishReason = FinishReason.STOP, refusal: str = "") -> list[StreamEvent]:
    return [UsageReport(Usage()), Finished(reason, refusal)]


def put_together(events: Sequence[StreamEvent], **head: Any) -> Any:
    """The message that OpenAI's own client makes of the stream."""
    state = ChatCompletionStreamState()
    for chunk in chunks(stream(events, **head)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot.choices[0].message


@pytest.mark.parametrize(
    ("events", "content"),
    [
        ([*THOUGHT, TextDelta("4"), TextDelta("2"), *end()], TAGGED + "42"),
        ([*THOUGHT, *CALL, *end(FinishReason.TOOL_CALLS)], TAGGED),
        ([*THOUGHT, TextDelta("So:"), *CALL, *end(FinishReason.TOOL_CALLS)], TAGGED + "So:"),
        ([*THOUGHT, *end()], TAGGED),
        ([*THOUGHT, *end(FinishReason.LENGTH)], TAGGED),
        ([*THOUGHT, *end(FinishReason.CONTENT_FILTER, "No.")], TAGGED),
        ([*THOUGHT, TextDelta("a"), *THOUGHT, TextDelta("b"), *end()], f"{TAGGED}a{TAGGED}b"),
        ([TextDelta("a"), *THOUGHT, *end()], f"a{TAGGED}"),
        ([TextDelta("a"), *end()], "a"),
        ([*CALL, *end(FinishReason.TOOL_CALLS)], None),
        (end(), ""),
    ],
)
def test_tags_stand_around_each_thought(events: list[StreamEvent], content: str | None) -> None:
    """Each stretch of thinking is in one pair of tags, closed before whatever comes next, and also before the end."""
    message = whole(events, **TAGS)["choices"][0]["message"]
    streamed = put_together(events, **TAGS)

    assert message["content"] == content
    assert (streamed.content or None) == (content or None)
    assert not {"reasoning", "reasoning_content"} & (message.keys() | streamed.model_extra.keys())


def test_the_opening_tag_goes_out_with_the_first_thought() -> None:
    """Nothing is held back: each piece of a thought is in a chunk of its own as soon as it has come."""
    written = stream([*THOUGHT, TextDelta("42"), *end()], **TAGS)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(written)]

    assert [part.count(b"data: ") for part in written] == [2, 1, 1, 0, 2]
    assert deltas[1:4] == [{"content": "<think>\nLet me"}, {"content": " see."}, {"content": "\n</think>\n\n42"}]


def test_a_tag_is_closed_before_the_call() -> None:
    """A client that acts on the first sign of a call has the whole thought by then."""
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(stream([*THOUGHT, *CALL, *end()], **TAGS))]
    (called, *_) = [index for index, delta in enumerate(deltas) if "tool_calls" in delta]

    assert "".join(delta.get("content", "") for delta in deltas[:called]) == TAGGED


pieces = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
deltas = st.lists(st.builds(TextDelta, pieces) | st.builds(ReasoningDelta, pieces))
reasons = st.sampled_from(FinishReason)


@given(deltas, reasons)
def test_streamed_or_not_tags_are_the_same(said: list[StreamEvent], reason: FinishReason) -> None:
    """The stream put together is the whole answer, and without its tags it has the text of any other."""
    events = [*said, *end(reason)]
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks(stream(events, **TAGS)))
    text = whole(events)["choices"][0]["message"]["content"]
    stretches = len(re.findall("r+", "".join("r" if isinstance(each, ReasoningDelta) else "t" for each in said)))

    assert streamed == whole(events, **TAGS)["choices"][0]["message"]["content"]
    assert streamed.count("<think>\n") >= stretches
    assert len(streamed) - len(text) - stretches * len("<think>\n\n</think>\n\n") == sum(
        len(each.text) for each in said if isinstance(each, ReasoningDelta)
    )


@given(deltas, reasons, st.booleans())
def test_without_reasoning_an_answer_is_as_if_there_had_been_none(
    said: list[StreamEvent], reason: FinishReason, called: bool
) -> None:
    """Switched off, no trace of what the model thought is in the answer, byte for byte."""
    events = [*said, *(CALL if called else ()), *end(reason)]
    thoughtless = [event for event in events if not isinstance(event, ReasoningDelta)]

    assert b"".join(stream(events, True, **OFF)) == b"".join(stream(thoughtless, True))
    assert whole(events, **OFF) == whole(thoughtless)


@given(st.lists(pieces, min_size=1), st.lists(pieces))
def test_an_answer_with_tags_comes_back_as_it_was_said(thought: list[str], said: list[str]) -> None:
    """What a client sends back of an answer with tags is the model's text again, also without the blanks at its end."""
    events = [*map(ReasoningDelta, thought), *map(TextDelta, said), *end()]
    content = whole(events, **TAGS)["choices"][0]["message"]["content"]
    text = "".join(said)
    if "</think>" in content.replace("\n</think>\n\n", "", 1) or "<think>" in text:
        return
    for sent in (content, content if text else content.rstrip()):
        (back,) = without_thoughts([Message(Role.ASSISTANT, sent)])
        assert "".join(part.text for part in back.parts if isinstance(part, Text)) == text


def test_only_thoughts_of_answers_are_taken_out() -> None:
    """What a user says of tags stays, and so do other parts, other tags and a tag that was never closed."""
    call = ToolCall("call_1", "f", "{}")
    kept = [
        Message(Role.USER, TAGGED + "What is that?"),
        Message(Role.ASSISTANT, "<thinking>\nx\n</thinking>\n\n<think>\nfor ever"),
        Message(Role.ASSISTANT, "Write <think> and </think> around it.\n\n"),
    ]

    assert without_thoughts(kept) == tuple(kept)
    assert without_thoughts([Message(Role.ASSISTANT, (Text(f"{TAGGED}a{TAGGED}b"), call))]) == (
        Message(Role.ASSISTANT, (Text("ab"), call)),
    )


@pytest.mark.parametrize("repeated", ["<think>\n", "<think>\n\n</think>\nx"], ids=["never closed", "not closed so"])
def test_tags_without_end_cost_no_more_than_their_length(repeated: str) -> None:
    """
    A few megabytes of opening tags pass as they are. If each were followed to the end of the text it would take hours.
    """
    message = Message(Role.ASSISTANT, repeated * (4_000_000 // len(repeated)))

    assert without_thoughts([message]) == (message,)
