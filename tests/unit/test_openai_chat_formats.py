"""
What ``response_format`` may say.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from claudeproxy.core.chat import AnswerFormat
from claudeproxy.errors import ClaudeProxyError, InvalidValue, MissingParameter
from claudeproxy.wire.openai_chat import decode_request

RECURSIVE = {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "$defs": {"x": {}}}


def decoded(response_format: Any) -> AnswerFormat | None:
    """The format of a request."""
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "m", "messages": messages, "response_format": response_format}
    return decode_request(json.dumps(body).encode()).settings.format


def schema(**fields: Any) -> dict[str, Any]:
    """A format with a schema."""
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, **fields}}


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, AnswerFormat()),
        (schema(), AnswerFormat(SCHEMA, "place")),
        (schema(strict=True, description="A place."), AnswerFormat(SCHEMA, "place", "A place.")),
        (schema(strict=False), AnswerFormat(SCHEMA, "place")),
        (schema(schema=RECURSIVE), AnswerFormat(RECURSIVE, "place")),
    ],
)
def test_the_schema_is_kept_as_it_is(response_format: Any, expected: AnswerFormat | None) -> None:
    """Strict or not, with every keyword that the client wrote."""
    assert decoded(response_format) == expected


@pytest.mark.parametrize(
    ("response_format", "kind", "param", "told"),
    [
        ({"type": "xml"}, InvalidValue, "response_format.type", "'json_schema'"),
        ({}, MissingParameter, "response_format.type", "response_format.type"),
        ({"type": "json_schema"}, MissingParameter, "response_format.json_schema", "json_schema"),
        (schema(schema=None), MissingParameter, "response_format.json_schema.schema", "schema"),
        (schema(schema={"type": "array"}), InvalidValue, "response_format.json_schema.schema", "type 'object'"),
        (schema(schema=[]), InvalidValue, "response_format.json_schema.schema", "an object"),
        (schema(name="a b"), InvalidValue, "response_format.json_schema.name", "letters, digits"),
        (schema(name="x" * 65), InvalidValue, "response_format.json_schema.name", "64"),
        (schema(strict="yes"), InvalidValue, "response_format.json_schema.strict", "true or false"),
    ],
)
def test_what_is_wrong_is_named(response_format: Any, kind: type[ClaudeProxyError], param: str, told: str) -> None:
    """The error has the place, and what is allowed there."""
    with pytest.raises(ClaudeProxyError) as caught:
        decoded(response_format)

    assert (type(caught.value), caught.value.param) == (kind, param)
    assert told in caught.value.message
