"""
Bytes that are no Chat Completions request, and what is read of those for an upstream.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.errors import ClaudeProxyError, InvalidJSON
from claudeproxy.wire.openai_chat import Peek, decode_request, peek
from tests.unit.chat_requests import OPTIONAL, body, case_name, refusal

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"   ",
        b"{",
        b"nonsense",
        b'{"model": "m",}',
        b"{'model': 'm'}",
        body() + b" {}",
        b"\xff\xfe{\x00}\x00",
        b'{"model": "\xff"}',
        b'{"model": "m", "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
        b'{"model": "m", "messages": [], "x": ' + DEEP + b"}",
        b'{"model": "m", "messages": [], "tools": [{"x": ' + DEEP + b"}]}",
    ],
    ids=case_name,
)
def test_what_is_no_json_is_refused(request_body: bytes) -> None:
    """Broken syntax, broken Unicode and bottomless nesting get a clear answer, never a crash."""
    assert refusal(request_body) == (InvalidJSON, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


odd_messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "refusal", "function_call", "type", "text"]),
        json_values | st.sampled_from(["user", "assistant", "system"]) | st.just([{"type": "text", "text": "x"}]),
    ),
    max_size=3,
)


@given(odd_messages | json_values, st.dictionaries(st.sampled_from(OPTIONAL), json_values, max_size=4))
def test_any_json_is_understood_or_refused(messages: object, parameters: dict[str, Any]) -> None:
    """Whatever the values, the client gets a decoded request or an error with status 400; text survives as UTF-8."""
    try:
        decoded = decode_request(body(messages, **parameters))
    except ClaudeProxyError as error:
        assert error.status == 400
    else:
        assert repr(decoded.messages).encode().decode()


@given(st.binary(max_size=40))
def test_any_bytes_are_understood_or_refused(junk: bytes) -> None:
    """No bytes crash the decoders."""
    for decode in (decode_request, peek):
        with pytest.raises(ClaudeProxyError):
            decode(junk)


# -- Peeking ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "seen"),
    [
        (b'{"model": "m"}', Peek("m", False)),
        (b'{"stream": true, "model": "m", "messages": "whatever", "n": {}}', Peek("m", True)),
        (b'{"model": "m", "stream": null}', Peek("m", False)),
        (b'{"model": "m", "stream": false, "input": []}', Peek("m", False)),
        (b'{"model": "m", "store": true}', Peek("m", False, True)),
        (b'{"model": "m", "store": {"odd": 1}}', Peek("m", False, True)),
        (b'{"model": "m", "store": false}', Peek("m", False)),
        (b'{"store" : null, "model": "m"}', Peek("m", False)),
    ],
    ids=case_name,
)
def test_peeking_reads_what_routing_needs(request_body: bytes, seen: Peek) -> None:
    """A request for an upstream is routed whatever else is in it: the upstream judges that."""
    assert peek(request_body) == seen


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model": 1}',
        b'{"model": "", "messages": []}',
        b'{"stream": 1, "model": "m"}',
        b'{"x": ' + DEEP + b"}",
    ],
    ids=case_name,
)
def test_peeking_finds_the_same_faults(request_body: bytes) -> None:
    """A request without a model, or that is no JSON, is told so in the same words on every way."""
    with pytest.raises(ClaudeProxyError) as peeked:
        peek(request_body)
    with pytest.raises(ClaudeProxyError) as decoded:
        decode_request(request_body)

    assert type(peeked.value) is type(decoded.value)
    assert (peeked.value.message, peeked.value.param) == (decoded.value.message, decoded.value.param)
