"""
Answers in the form of Chat Completions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from claudeproxy.core.events import Finished, FinishReason, ReasoningDelta, StreamEvent, TextDelta, Usage, UsageReport
from claudeproxy.wire.openai_chat import AnswerHead, CompletionFolder, StreamEncoder
from claudeproxy.wire.sse import EventDecoder

USAGE = Usage(input_tokens=10, cache_read_tokens=20, cache_write_tokens=30, output_tokens=7, reasoning_tokens=4)
USAGE_OBJECT = {
    "prompt_tokens": 60,
    "completion_tokens": 7,
    "total_tokens": 67,
    "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 4,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 30,
}
ANSWER: list[StreamEvent] = [
    ReasoningDelta("Hm"),
    ReasoningDelta("..."),
    TextDelta("Hel"),
    TextDelta('lo "you"\n\U0001f600'),
    UsageReport(USAGE),
    Finished(FinishReason.STOP),
]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
answers = st.lists(st.builds(TextDelta, texts) | st.builds(ReasoningDelta, texts))
endings = st.builds(Finished, st.sampled_from(FinishReason))


HEAD = AnswerHead("chatcmpl-1", "gpt-4o", 1700000000)


def stream(events: Sequence[StreamEvent], include_usage: bool = False, **head: Any) -> list[bytes]:
    """
    Return what goes out for each of the events.
    """
    encoder = StreamEncoder(evolve(HEAD, **head), include_usage)
    return [encoder.encode(event) for event in events]


def chunks(written: list[bytes]) -> list[dict[str, Any]]:
    """
    Return the chunks that a client reads, having checked that the end mark is the last event.
    """
    *events, last = EventDecoder(100_000).feed(b"".join(written))
    assert last.data == b"[DONE]"
    return [json.loads(event.data) for event in events]


def whole(events: Sequence[StreamEvent], **head: Any) -> dict[str, Any]:
    """
    Return the body of the unstreamed answer.
    """
    folder = CompletionFolder(evolve(HEAD, **head))
    for event in events:
        folder.add(event)
    body: dict[str, Any] = json.loads(folder.body())
    return body


def test_a_stream_has_role_deltas_and_finish_reason_in_order() -> None:
    """The role comes once and first, reasoning under both its names, the finish reason once and last."""
    assert [chunk["choices"] for chunk in chunks(stream(ANSWER))] == [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        for delta, reason in [
            ({"role": "assistant", "content": ""}, None),
            ({"reasoning_content": "Hm", "reasoning": "Hm"}, None),
            ({"reasoning_content": "...", "reasoning": "..."}, None),
            ({"content": "Hel"}, None),
            ({"content": 'lo "you"\n\U0001f600'}, None),
            ({}, "stop"),
        ]
    ]


def test_every_chunk_says_whose_it_is() -> None:
    """Id, object, creation time and model are the same on every chunk, the one with the usage included."""
    identity = {("chatcmpl-1", "chat.completion.chunk", 1700000000, "gpt-4o")}

    for include_usage in (False, True):
        read = chunks(stream(ANSWER, include_usage))
        assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in read} == identity


def test_usage_comes_last_and_only_when_asked_for() -> None:
    """With include_usage a last chunk has it and no choices, those before say null; without, no chunk has the key."""
    *before, last = chunks(stream(ANSWER, include_usage=True))

    assert (last["choices"], last["usage"]) == ([], USAGE_OBJECT)
    assert [chunk["usage"] for chunk in before] == [None] * 6
    assert not any("usage" in chunk for chunk in chunks(stream(ANSWER)))


def test_each_event_goes_out_at_once() -> None:
    """A delta is written when it comes, the role with the first of them; the report of the usage writes nothing yet."""
    written = stream(ANSWER, include_usage=True)

    assert [part.count(b"data: ") for part in written] == [2, 1, 1, 1, 0, 3]
    assert written[-1].endswith(b"\n\ndata: [DONE]\n\n")


def test_an_empty_answer_is_a_whole_stream() -> None:
    """An answer without a word still has its role and its finish reason."""
    read = chunks(stream([UsageReport(USAGE), Finished(FinishReason.LENGTH)]))

    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in read] == [
        ({"role": "assistant", "content": ""}, None),
        ({}, "length"),
    ]


def test_a_model_name_cannot_break_the_stream() -> None:
    """The requested name is echoed as it was, whatever characters it has."""
    name = 'm"\n\n}\u2028'
    written = StreamEncoder(AnswerHead("chatcmpl-1", name, 1), False).encode(Finished(FinishReason.STOP))

    assert {chunk["model"] for chunk in chunks([written])} == {name}


def test_a_whole_answer() -> None:
    """The unstreamed body has every key that clients look for, and none with null that must be left out."""
    assert whole(ANSWER) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": 'Hello "you"\n\U0001f600',
                    "refusal": None,
                    "annotations": [],
                    "reasoning_content": "Hm...",
                    "reasoning": "Hm...",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_OBJECT,
        "service_tier": "default",
        "system_fingerprint": "fp_claudeproxy",
    }


def test_a_cost_is_told_where_it_is_known() -> None:
    """In USD as the member that OpenRouter has for it; where it is not known, there is no such member."""
    priced = [UsageReport(evolve(USAGE, cost_usd=0.000103)), Finished(FinishReason.STOP)]

    assert whole(priced)["usage"] == {**USAGE_OBJECT, "cost": 0.000103}
    assert chunks(stream(priced, include_usage=True))[-1]["usage"] == {**USAGE_OBJECT, "cost": 0.000103}
    assert "cost" not in chunks(stream(ANSWER, include_usage=True))[-1]["usage"]


REFUSED = [UsageReport(USAGE), Finished(FinishReason.CONTENT_FILTER, "It violates the policy.")]


@pytest.mark.parametrize(("before", "content"), [([], None), ([TextDelta("Well,")], "Well,")])
def test_a_refusal_explains_itself(before: list[StreamEvent], content: str | None) -> None:
    """The explanation is the message's refusal, the reason content_filter; there is no content unless there was."""
    events = [*before, *REFUSED]
    choice, read = whole(events)["choices"][0], chunks(stream(events))
    state = ChatCompletionStreamState()
    for chunk in read[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    streamed = state.current_completion_snapshot.choices[0].message

    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", content)
    assert choice["message"]["refusal"] == "It violates the policy."
    assert (streamed.content or None, streamed.refusal) == (content, "It violates the policy.")
    assert read[0]["choices"][0]["delta"] == {"role": "assistant", "content": "" if content else None}
    assert read[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_an_answer_without_words() -> None:
    """Content is an empty string, and there is no reasoning where there was none."""
    message = whole([UsageReport(USAGE), Finished(FinishReason.CONTENT_FILTER)])["choices"][0]

    assert message["finish_reason"] == "content_filter"
    assert message["message"] == {"role": "assistant", "content": "", "refusal": None, "annotations": []}


def test_half_an_answer_has_no_body() -> None:
    """Without its end an answer cannot be taken for a whole one."""
    folder = CompletionFolder(HEAD)
    folder.add(TextDelta("Hel"))

    with pytest.raises(ValueError, match="not finished"):
        folder.body()


@given(answers, endings)
def test_streamed_or_not_the_answer_is_the_same(deltas: list[StreamEvent], end: Finished) -> None:
    """The pieces of the stream put together are the whole answer."""
    events = [*deltas, UsageReport(USAGE), end]
    read, choice = chunks(stream(events, include_usage=True)), whole(events)["choices"][0]
    delta = [chunk["choices"][0]["delta"] for chunk in read[:-1]]

    assert "".join(piece.get("content", "") for piece in delta) == choice["message"]["content"]
    assert "".join(piece.get("reasoning", "") for piece in delta) == choice["message"].get("reasoning", "")
    assert read[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert read[-1]["usage"] == whole(events)["usage"]


@given(answers, endings, st.booleans())
def test_the_sdk_accepts_every_answer(deltas: list[StreamEvent], end: Finished, include_usage: bool) -> None:
    """The types of the openai package, which it does not enforce by itself, hold for chunks and bodies."""
    events = [*deltas, UsageReport(USAGE), end]

    for chunk in chunks(stream(events, include_usage)):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    ChatCompletion.model_validate(whole(events), strict=True)
