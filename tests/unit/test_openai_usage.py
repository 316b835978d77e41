"""
Usage read out of answers that pass by.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.events import Usage
from claudeproxy.wire.openai_usage import OBJECT_TAIL_BYTES, STREAM_TAIL_BYTES, UsageTee

USAGE: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
NEUTRAL = Usage(input_tokens=70, cache_read_tokens=30, output_tokens=20, reasoning_tokens=5)


def teed(*chunks: bytes, limit: int = OBJECT_TAIL_BYTES) -> Usage | None:
    """What the tee says after ``chunks``."""
    tee = UsageTee(limit)
    for chunk in chunks:
        tee.feed(chunk)
    return tee.usage()


def completion(usage: object = USAGE, text: str = "Hi.") -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice], "usage": usage}).encode()


def stream(usage: object = USAGE, newline: bytes = b"\n", deltas: int = 3) -> bytes:
    """A streamed answer, with usage as OpenAI sends it: null before, then a chunk of its own."""
    events = [{"choices": [{"index": 0, "delta": {"content": f"{i} "}}], "usage": None} for i in range(deltas)]
    lines = [b"data: " + json.dumps(event).encode() for event in [*events, {"choices": [], "usage": usage}]]
    return (newline * 2).join([*lines, b"data: [DONE]", b""])


def test_of_a_whole_answer() -> None:
    """A JSON answer's usage is read, cached tokens taken out of the prompt's."""
    assert teed(completion()) == NEUTRAL


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_of_a_stream(newline: bytes) -> None:
    """A stream's usage is read, whatever its line ends."""
    assert teed(stream(newline=newline)) == NEUTRAL


@given(st.data())
def test_split_anywhere(data: st.DataObject) -> None:
    """Where the chunks are cut makes no difference."""
    body = data.draw(st.sampled_from([completion(), stream(), stream(newline=b"\r\n")]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))

    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert teed(*pieces) == NEUTRAL


def test_of_a_stream_longer_than_the_memory() -> None:
    """Only the end of a long stream is kept, and that is enough."""
    body = stream(deltas=2000)

    assert teed(*[body[i : i + 500] for i in range(0, len(body), 500)], limit=STREAM_TAIL_BYTES) == NEUTRAL


def test_a_last_event_longer_than_the_memory() -> None:
    """What a vendor adds to the event with the usage does not push it out of the memory."""
    event = b'data: {"choices":[],"usage":%b,"found":"%b"}' % (json.dumps(USAGE).encode(), b"x" * 9000)

    assert teed(*[b"data: {}\n\n"] * 500, event + b"\n\n", b"data: [DONE]\n\n", limit=STREAM_TAIL_BYTES) == NEUTRAL


def test_of_an_answer_longer_than_the_memory() -> None:
    """A long JSON answer's usage is found behind its text, which may speak of usage itself."""
    body = completion(text='He said {"usage": {"prompt_tokens": 1}} and ' + "x" * 10000)

    assert teed(*[body[i : i + 1000] for i in range(0, len(body), 1000)], limit=2048) == NEUTRAL


def test_memory_is_bounded() -> None:
    """However long the body, less than the limit and one chunk is kept."""
    tee = UsageTee(1000)
    for _ in range(10_000):
        tee.feed(b"x" * 100)

    assert sum(map(len, tee._chunks)) < 1100


def test_an_unfinished_stream_has_none() -> None:
    """A stream that never came to its usage chunk has no usage, although every chunk mentions the word."""
    assert teed(stream(deltas=500).partition(b'data: {"choices": []')[0]) is None


def test_usage_in_every_chunk() -> None:
    """When each chunk tells the usage so far, the last one counts."""
    first, last = {**USAGE, "completion_tokens": 1}, USAGE

    assert teed(stream(usage=first).replace(b"data: [DONE]", b""), stream(usage=last)) == NEUTRAL


def test_cost_is_read_when_the_upstream_tells_it() -> None:
    """Some upstreams add what the answer cost in USD."""
    assert teed(completion({"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.25})) == Usage(1, 0, 0, 2, 0, 0.25)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        {"prompt_tokens": "many"},
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -3}},
        {"input_tokens": 3},
        [],
    ],
)
def test_what_is_no_usage(usage: object) -> None:
    """What cannot be read as usage is none."""
    assert teed(completion(usage)) is None
    assert teed(stream(usage)) is None


@given(st.lists(st.binary()), st.integers(1, 100))
def test_any_bytes(chunks: list[bytes], limit: int) -> None:
    """No body, however odd, raises."""
    teed(*chunks, b'"usage":{', limit=limit)
