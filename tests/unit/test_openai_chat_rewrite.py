"""
A request with another model.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}'),
        (b'{"x":"}\\\\","model":"b","y":"\\u00e9\xc3\xa9"}', b'{"x":"}\\\\","model":"new","y":"\\u00e9\xc3\xa9"}'),
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
