"""
A request with another model.
"""

from __future__ import annotations

import json
import tracemalloc
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.errors import InvalidValue
from claudeproxy.wire.openai_chat import with_model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
    max_leaves=6,
)
SPACE = st.text(" \t\r\n", max_size=3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"new"}'),
        (b' { "model"\n:\t"a" , "x" : 1e2}\n', b' { "model"\n:\t"new" , "x" : 1e2}\n'),
        (
            b'{"x":{"model":"a"},"y":[{"model":"b"}],"model":"c"}',
            b'{"x":{"model":"a"},"y":[{"model":"b"}],"model":"new"}',
        ),
        (b'{"x":"model","model":"x"}', b'{"x":"model","model":"new"}'),
        (b'{"x":"\\"model\\":\\"a\\"","model":"c"}', b'{"x":"\\"model\\":\\"a\\"","model":"new"}'),
        (b'{"mod\\u0065l":"a\\"b"}', b'{"mod\\u0065l":"new"}'),
        (
            b'{"MODEL":"x","mode":"x","\\u006D\\u006fdel" : "a"}',
            b'{"MODEL":"x","mode":"x","\\u006D\\u006fdel" : "new"}',
        ),
        (b'{"x":[{"model":1}],"model":"a"}', b'{"x":[{"model":1}],"model":"new"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}'),
        (b'{"x":"}\\\\","model":"b","y":"\\u00e9\xc3\xa9"}', b'{"x":"}\\\\","model":"new","y":"\\u00e9\xc3\xa9"}'),
        (b'{"x\\"model":"a","\\\\":"model","model":"b"}', b'{"x\\"model":"a","\\\\":"model","model":"new"}'),
        (b'{"model":"a\\\\","x":{"model":"\\\\"}}', b'{"model":"new","x":{"model":"\\\\"}}'),
        (b'{"x":["model"],"y":"model","model":"a"}', b'{"x":["model"],"y":"model","model":"new"}'),
    ],
)
def test_only_the_model_changes(body: bytes, expected: bytes) -> None:
    """The value of the request's own model is replaced, wherever it stands; every other byte is as it was."""
    assert expected == with_model(body, "new")


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON), SPACE, st.booleans(), st.text())
def test_any_request(before: Any, after: Any, space: str, ascii_only: bool, model: str) -> None:
    """Whatever stands around the model, the request reads the same but for it, and back again it is the same."""
    value = {**before, "model": "old", **{key: value for key, value in after.items() if key != "model"}}
    separators = (f"{space},{space}", f"{space}:{space}")
    body = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")
    changed = with_model(body, model)

    assert {**value, "model": model} == json.loads(changed.decode("utf-8", "surrogatepass"))
    assert body == with_model(changed, "old")


def test_a_long_request() -> None:
    """A text of megabytes, full of escapes, is passed over at once."""
    text = b'\\n\\"' * 1_000_000

    assert b'{"x":"' + text + b'","model":"b"}' == with_model(b'{"x":"' + text + b'","model":"a"}', "b")


@pytest.mark.parametrize("text", [rb"\\", rb"\"", rb"\\\"", rb"\u0022{", b"}", rb"\n]"])
@pytest.mark.parametrize("shift", [b"", b"x", b"xx", b"xxx"])
def test_escapes_anywhere_in_long_texts(text: bytes, shift: bytes) -> None:
    """Wherever the pieces end in which a long text is read, its escapes, quotes and brackets are the text's."""
    long = shift + text * 300_000
    body = b'{"x":{"model":"%b"},"y":["%b"],"model":"%b"}'

    assert body % (long, long, b"new") == with_model(body % (long, long, long), "new")


@pytest.mark.parametrize(
    ("before", "odd", "after"),
    [
        (b'"', b'\\n\\"', b'"'),
        (b'"', b"\\\\", b'"'),
        (b"[", b'"",', b"1]"),
        (b"[", b'{"model":[]},', b"1]"),
    ],
    ids=["quotes", "backslashes", "strings", "objects"],
)
def test_a_long_request_takes_no_memory(before: bytes, odd: bytes, after: bytes) -> None:
    """Of 12 megabytes, whatever they are, nothing is kept but the result."""
    body = b'{"x":{"model":"a"},"y":' + before + odd * (12_000_000 // len(odd)) + after + b',"model":"a"}'
    tracemalloc.start()
    try:
        changed = with_model(body, "b")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(body) == len(changed)
    assert peak - len(changed) < 4_000_000


@pytest.mark.parametrize(
    "odd",
    [b'["",' + b'"",' * 2_000_000 + b"1]", b"[" + b"[]," * 2_000_000 + b"1]", b"[" + b'{"a":1},' * 750_000 + b"1]"],
    ids=["strings", "brackets", "objects"],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_request_that_is_made_to_be_slow(odd: bytes, last: bool) -> None:
    """Six megabytes of the smallest values hold up nobody, wherever the model stands."""
    before, after = (b'{"x":' + odd + b",", b"}") if last else (b"{", b',"x":' + odd + b"}")
    body = before + b'"model":"a"' + after
    began = process_time()
    changed = with_model(body, "b")
    took = process_time() - began

    assert before + b'"model":"b"' + after == changed
    assert took < 0.6


@pytest.mark.parametrize("member", [b'"model":""', b'"x":{"model":""}'])
def test_a_request_with_too_many_models(member: bytes) -> None:
    """A request of nothing but models is refused before it takes long."""
    with pytest.raises(InvalidValue, match="'model'"):
        with_model(b'{"model":"a",' + b",".join([member] * 10_000) + b"}", "b")


@pytest.mark.parametrize(
    ("member", "expected"), [(b'"model":"a"', b'"model":"b"'), (b'"x":{"model":"a"}', b'"x":{"model":"a"}')]
)
def test_a_request_with_as_many_models_as_there_may_be(member: bytes, expected: bytes) -> None:
    """Each of ten thousand members is read at once, however much comes behind it."""
    rest = b',"x":"' + b"y" * 10_000_000 + b'"}'
    began = process_time()
    changed = with_model(b'{"model":"a",' + b",".join([member] * 9_999) + rest, "b")
    took = process_time() - began

    assert b'{"model":"b",' + b",".join([expected] * 9_999) + rest == changed
    assert took < 0.6
