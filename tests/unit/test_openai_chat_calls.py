"""
Calls of functions in the form of Chat Completions.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from claudeproxy.core.events import (
    Finished,
    FinishReason,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReport,
)
from claudeproxy.core.events import Usage as Counted
from tests.unit.test_openai_chat_answer import chunks, stream, whole

END = (UsageReport(Counted()), Finished(FinishReason.TOOL_CALLS))


def calls(*written: tuple[str, ...]) -> list[StreamEvent]:
    """The events of calls, each with its arguments in pieces."""
    events: list[StreamEvent] = []
    for index, pieces in enumerate(written):
        events.append(ToolCallStarted(index, f"call_{index}", f"f{index}"))
        events += [ToolCallDelta(index, piece) for piece in pieces]
    return events


def deltas(events: list[StreamEvent]) -> list[dict[str, Any]]:
    """What the chunks of a stream add."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream(events))]


def test_a_call_begins_with_its_name_and_goes_on_with_its_arguments() -> None:
    """Id, type and name come once; then there is nothing but pieces of the arguments, as the model wrote them."""
    assert deltas([*calls(('{"a"', ": 1}")), *END]) == [
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, "id": "call_0", "type": "function", "function": {"name": "f0", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        {},
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    """Clients read the arguments as JSON, which nothing is not; also when another call follows."""
    arguments = [
        call["function"]["arguments"]
        for delta in deltas([*calls((), ("{}",), ()), *END])
        for call in delta.get("tool_calls", ())
    ]

    assert arguments == ["", "{}", "", "{}", "", "{}"]
    assert [call["function"]["arguments"] for call in message([*calls((), ()), *END])["tool_calls"]] == ["{}", "{}"]


def message(events: list[StreamEvent]) -> dict[str, Any]:
    """The message of the unstreamed answer."""
    found: dict[str, Any] = whole(events)["choices"][0]["message"]
    return found


def test_an_answer_that_only_calls_has_no_content() -> None:
    """Its content is null; one that says something first has what it says, and text after it is no second role."""
    assert message([*calls(("{}",)), *END])["content"] is None
    assert message([TextDelta("Let me see."), *calls(("{}",)), *END])["content"] == "Let me see."
    assert deltas([TextDelta("Let me see."), *calls(("{}",)), *END])[0] == {"role": "assistant", "content": ""}


pieces = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=3).map(tuple)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), st.lists(pieces, max_size=4))
def test_a_client_puts_a_stream_together_to_what_the_whole_answer_is(said: list[str], written: list[Any]) -> None:
    """OpenAI's own accumulator makes of the chunks exactly the message that is sent in one piece."""
    events: list[StreamEvent] = [*map(TextDelta, said), *calls(*written), *END]
    state = ChatCompletionStreamState()
    for chunk in chunks(stream(events)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    streamed = state.current_completion_snapshot.choices[0].message
    expected = message(events)

    assert (streamed.content or None) == (expected["content"] or None)
    assert [call.model_dump(include={"id", "type", "function"}) for call in streamed.tool_calls or ()] == [
        {**call, "function": {**call["function"], "parsed_arguments": None}} for call in expected.get("tool_calls", ())
    ]
    assert json.dumps(expected)
