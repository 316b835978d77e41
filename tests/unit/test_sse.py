"""
Server-sent events, read and written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.wire.sse import DONE, EventDecoder, EventTooLong, ServerSentEvent, comment, data_event

STREAM = (
    b"\xef\xbb\xbf: hello\n"
    b"event: greeting\r\n"
    b"data: gr\xc3\xbc\xc3\x9fe\r\n"
    b"\r\n"
    b"data:no space\rdata:  two spaces\r\r"
    b"id: 7\nretry: 10\nunknown\ndata\n\n"
    b"event: without data\n\n"
    b"data: {}\n\n"
    b"data: cut off"
)
EVENTS = [
    ServerSentEvent("greeting", "grüße".encode()),
    ServerSentEvent("message", b"no space\n two spaces"),
    ServerSentEvent("message", b""),
    ServerSentEvent("message", b"{}"),
]

streams = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data", b":", b" ", b"event", b"x", b"\xef\xbb\xbf", b"\xc3\xa9", b"id"])
).map(b"".join)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """
    Return the stream in pieces, cut at these places.
    """
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def read(parts: Iterable[bytes], max_event: int = 1000) -> tuple[list[ServerSentEvent], bool]:
    """
    Return the events, and whether the stream broke off with one that was too long.
    """
    decoder = EventDecoder(max_event)
    events: list[ServerSentEvent] = []
    for part in parts:
        try:
            events += decoder.feed(part)
        except EventTooLong as error:
            return events + error.events, True
    return events, False


def test_the_whole_grammar_is_read() -> None:
    """Every line ending, comments, missing spaces, several data lines, a byte order mark: as the standard says."""
    assert read([STREAM]) == (EVENTS, False)


def test_bytes_one_by_one_give_the_same_events() -> None:
    """Neither characters nor CRLF are hurt when every byte comes alone."""
    assert read(STREAM[index : index + 1] for index in range(len(STREAM))) == (EVENTS, False)


@given(streams, st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 30))
def test_any_cut_gives_the_same_events(stream: bytes, places: list[int], max_event: int) -> None:
    """However the stream is cut, the same events come, and the same one is too long."""
    assert read(cut(stream, places), max_event) == read([stream], max_event)


def test_the_bound_is_exact_and_counts_a_whole_event() -> None:
    """An event may have as many bytes in its lines as the bound says, and not one more, finished or not."""
    event = b"data: 123\ndata: 456\n\n"

    assert read([event * 2], 18) == ([ServerSentEvent("message", b"123\n456")] * 2, False)
    assert read([event], 17) == ([], True)
    assert read([b"data: 1\n\n", b"data: 123\n", b"data: 45"], 17) == ([ServerSentEvent("message", b"1")], False)
    assert read([b"data: 1\n\n", b"data: 123\n", b"data: 456"], 17) == ([ServerSentEvent("message", b"1")], True)
    with pytest.raises(EventTooLong, match="17 bytes"):
        EventDecoder(17).feed(b"x" * 18)


def test_a_long_stream_of_short_events_is_within_the_bound() -> None:
    """The bound is for one event; comments and events that are over do not add up."""
    assert len(read([b": keep-alive\n\ndata: x\n\n"] * 1000, 20)[0]) == 1000


@given(st.binary().filter(lambda payload: b"\r" not in payload))
def test_what_is_written_is_read_back(payload: bytes) -> None:
    """Data with line breaks in it arrives as it was, and cannot end the event or begin a field."""
    assert read([data_event(payload)]) == ([ServerSentEvent("message", payload)], False)


def test_the_bytes_are_plain() -> None:
    """One data line, one blank line: some readers know no other form."""
    assert data_event(b"{}") == b"data: {}\n\n"
    assert data_event(b"[DONE]") == DONE
    assert comment("keep-alive") == b": keep-alive\n\n"


@given(st.text(st.sampled_from("a:\r\n ")))
def test_a_comment_is_never_an_event(text: str) -> None:
    """Whatever the comment says, readers see nothing."""
    assert read([comment(text) + comment("data: x")]) == ([], False)


def test_a_huge_event_in_small_pieces_is_read_in_linear_time() -> None:
    """No byte is searched again when the next piece comes."""
    searched = 0

    def count(frame: object, event: str, called: object) -> None:
        nonlocal searched
        if event == "c_call" and isinstance(subject := getattr(called, "__self__", None), bytes):
            searched += len(subject)

    decoder = EventDecoder(2_000_000)
    sys.setprofile(count)
    try:
        events = [event for piece in [b"data: ", *[b"x" * 1000] * 1000, b"\n\n"] for event in decoder.feed(piece)]
    finally:
        sys.setprofile(None)

    assert [len(event.data) for event in events] == [1_000_000]
    # Each byte once when it comes, and a few times when its line is whole; searching anew would be 500 times.
    assert searched < 5 * 1_000_000
