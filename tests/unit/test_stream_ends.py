"""
What is added to a relayed stream that breaks, in the dialect that it carries.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.errors import ClaudeProxyError, Overloaded, UpstreamTimeout, UpstreamUnreachable
from claudeproxy.wire.sse import EventDecoder, ServerSentEvent
from claudeproxy.wire.stream_ends import RelayedStream

ERROR = UpstreamUnreachable("broke off")
CHAT = (b"/chat/completions", b"/chat/completions?x=1", b"/completions", b"//chat/completions")


def ended(path: bytes, *sent: bytes, error: ClaudeProxyError = ERROR) -> bytes | None:
    """What is left to send of a stream."""
    stream = RelayedStream(path)
    for piece in sent:
        stream.feed(piece)
    return stream.last_words(error)


def events(data: bytes | None) -> list[tuple[str, Any]]:
    """Its events: names, and data that is JSON."""
    assert data is not None
    read = EventDecoder(1_000_000).feed(data)
    return [(each.name, json.loads(each.data) if each.data != b"[DONE]" else "[DONE]") for each in read]


@pytest.mark.parametrize("path", CHAT)
def test_chat(path: bytes) -> None:
    """Chat and the older completions have an error in the place of a chunk, and the end mark."""
    (name, told), done = events(ended(path, b"data: {}\n\n"))

    assert (name, done) == ("message", ("message", "[DONE]"))
    assert told == {
        "error": {"message": "broke off", "type": "server_error", "param": None, "code": "connection_error"}
    }


@pytest.mark.parametrize("path", [b"/responses", b"/responses/resp_1?stream=true&starting_after=4"])
def test_responses(path: bytes) -> None:
    """The event has both shapes in use, and a number that goes on from the last one, wherever the pieces are cut."""
    sent = b'event: response.created\ndata: {"type":"response.created","sequence_number":41}\n\n'
    for cut in range(len(sent)):
        (name, told), done = events(ended(path, sent[:cut], sent[cut:]))
        assert (name, told["type"], told["sequence_number"]) == ("error", "error", 42)
        assert told["message"] == told["error"]["message"] == "broke off"
        assert told["code"] == told["error"]["code"] == "connection_error"
        assert done == ("message", "[DONE]")
    assert events(ended(path))[0][1]["sequence_number"] == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ERROR, "api_error"), (Overloaded("busy"), "overloaded_error"), (UpstreamTimeout("slow"), "timeout_error")],
)
def test_messages(error: ClaudeProxyError, kind: str) -> None:
    """Anthropic's error event, and no end mark, which its dialect does not have."""
    told = events(ended(b"/messages", b"event: ping\ndata: {}\n\n", error=error))

    assert told == [("error", {"type": "error", "error": {"type": kind, "message": error.message}})]


def test_threads() -> None:
    """Runs of assistants have the error object alone, and an event that says that the stream is over."""
    (name, told), done = events(ended(b"/threads/t/runs", b"event: thread.run.created\ndata: {}\n\n"))

    assert (name, told["code"], done) == ("error", "connection_error", ("done", "[DONE]"))


def test_streams_of_other_apis() -> None:
    """An event whose keys are those of every dialect."""
    ((name, told),) = events(ended(b"/images/generations", b"data: {}\n\n"))

    assert (name, told["type"], told["code"]) == ("error", "error", "connection_error")
    assert told["error"]["message"] == told["message"] == "broke off"


OVER = [
    (b"/chat/completions", b"data: [DONE]\n\n", b""),
    (b"/chat/completions", b"data:[DONE]\r\n\r\n", b""),
    (b"/chat/completions", b'data: {"error":{"message":"no"}}\n\n', b"data: [DONE]\n\n"),
    (b"/chat/completions", b'data: { "error": {}}\n\ndata: [DONE]\n\n', b""),
    (b"/responses", b'event: response.completed\ndata: {"type":"response.completed"}\n\n', b""),
    (b"/responses", b'data: {"type": "response.failed"}\n\n', b""),
    (b"/responses", b'event: response.incomplete\ndata: {"type":"response.incomplete"}\n\n', b""),
    (b"/responses", b'event: error\ndata: {"type":"error"}\n\n', b"data: [DONE]\n\n"),
    (b"/messages", b'event: message_stop\ndata: {"type":"message_stop"}\n\n', b""),
    (b"/messages", b'event: error\ndata: {"type":"error"}\n\n', b""),
    (b"/messages", b'data:  { "type" : "message_stop" }\n\n', b""),
    (b"/responses", b'data:  {"type":"response.completed"}\n\n', b""),
    (b"/images/generations", b'data: {"type":"image_generation.completed","b64_json":"x"}\n\n', b""),
    (b"/images/edits", b"event: image_edit.completed\ndata: {}\n\n", b""),
    (b"/audio/speech", b'data: {"type":"speech.audio.done"}\n\n', b""),
    (b"/audio/transcriptions", b'data: {"type":"transcript.text.done","text":""}\n\n', b""),
    (b"/threads/t/runs", b"event: done\ndata: [DONE]\n\n", b""),
    (b"/threads/t/runs", b"event: error\ndata: {}\n\n", b"event: done\ndata: [DONE]\n\n"),
]


@pytest.mark.parametrize(("path", "sent", "left"), OVER)
def test_nothing_follows_the_end(path: bytes, sent: bytes, left: bytes) -> None:
    """A stream that has said its end gets no error any more, and one that has told of an error gets no second one."""
    for before in (b"", b"data: {}\n\n", b": comment\n\n"):
        whole = before + sent
        for cut in range(len(whole) + 1):
            assert ended(path, whole[:cut], whole[cut:]) == left


def test_an_end_behind_a_byte_order_mark() -> None:
    """It may stand before the first event, also where that is the end."""
    assert ended(b"/chat/completions", b"\xef\xbb\xbfdata: [DONE]\n\n") == b""


@pytest.mark.parametrize(
    "words",
    [
        b'data: {"content":"data: [DONE]"}\n\n',
        b'data: {"content":"\\ndata: [DONE]\\n\\n"}\n\n',
        b'data: {"delta":"\\"error\\": message_stop event: error response.completed"}\n\n',
    ],
)
@pytest.mark.parametrize("path", [b"/chat/completions", b"/responses", b"/messages", b"/threads/t/runs", b"/audio"])
def test_the_models_words_are_no_mark(path: bytes, words: bytes) -> None:
    """What looks like a mark within a text ends nothing."""
    assert any("error" in (name, *told) for name, told in events(ended(path, words)))


LINES = st.lists(st.sampled_from([b"data: {}", b": comment", b"event: x", b"", b"", "data: é".encode()]), max_size=8)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(LINES, ENDS, st.data())
def test_an_event_is_added_only_where_one_can_stand(lines: list[bytes], end: bytes, data: st.DataObject) -> None:
    """Wherever a stream is cut: what is added is read as an event of its own, and what came before as it was."""
    whole = b"".join(line + end for line in lines)
    sent = whole[: data.draw(st.integers(0, len(whole)))]
    words = ended(b"/messages", sent)
    if words is None:
        assert sent and not sent.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))
        return
    before: list[ServerSentEvent] = EventDecoder(10_000).feed(sent)
    after = EventDecoder(10_000).feed(sent + words)

    assert after[:-1] == before
    assert after[-1].name == "error"
