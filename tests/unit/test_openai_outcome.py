"""
Whether an answer with status 200 is one.
"""

from __future__ import annotations

import pytest

from claudeproxy.wire.openai_outcome import is_success

JSON, EVENTS = b"application/json", b"text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"a": 1}\n\ndata: [DONE]\n\n',
        b'data:{"a": 1}\r\n\r\ndata:[DONE]\r\n\r\n',
        b'data: {"a": 1}\r\rdata: [DONE]',
        b"data: [DONE]\n\n",
        b'data: {"error": null}\n\ndata: {"content": "an \\"error\\""}\n\n: comment\n\ndata: [DONE]\n\n',
        b'data: {"content": {"error": 1}}\n\n' + b"data: {}\n\n" * 99 + b"data: [DONE]\n\n",
    ],
)
def test_a_whole_stream(body: bytes) -> None:
    """A stream is whole when it ends with its mark, in whatever way its lines end."""
    assert is_success(EVENTS, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'data: {"a": 1}\n\n',
        b'data: [DONE]\n\ndata: {"a": 1}\n\n',
        b'data: {"content": "data: [DONE]"}\n\n',
        b'data: {"error": {"message": "m"}}\n\ndata: [DONE]\n\n',
        b'data:{"a": 1, "error": "m"}\n\n' + b"data: {}\n\n" * 99 + b"data: [DONE]\n\n",
        b'data: {"error"\n\ndata: [DONE]\n\n',
    ],
)
def test_a_stream_that_failed(body: bytes) -> None:
    """A stream without its end, or with an error in it, did not succeed although it ended properly."""
    assert not is_success(EVENTS, body)


@pytest.mark.parametrize(
    ("body", "succeeds"),
    [
        (b'{"choices": []}', True),
        (b'{"choices": [], "error": null}', True),
        (b'{"choices": [{"error": "m"}]}', True),
        (b'{"error": {"message": "m"}}', False),
        (b'{"choices": [], "error": "m"}', False),
        (b'{"choices": [', False),
        (b"[]", False),
        (b"", False),
        (b"\x1f\x8b\x08", False),
        (b'{"choices": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", False),
    ],
)
def test_an_object(body: bytes, succeeds: bool) -> None:
    """An answer in one piece is an object without an error; what cannot be read is not taken for one."""
    assert succeeds == is_success(JSON, body)
