"""
Schemas that nest deeply.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from claudeproxy.backends.claude.answers.forms import form_tool
from claudeproxy.backends.claude.requests.features import features_of
from claudeproxy.backends.claude.requests.settings import turn_settings
from claudeproxy.backends.claude.requests.telling import Telling
from claudeproxy.core.chat import ChatRequest
from claudeproxy.core.history import history_digest
from claudeproxy.errors import InvalidValue
from claudeproxy.wire.openai_chat import decode_request

MOST = 500


def nested(levels: int, array: bool) -> str:
    """A schema of so many levels, its last an object or an array."""
    return '{"items": ' * (levels - 1) + ("[]" if array else "{}") + "}" * (levels - 1)


def in_tool(schema: str) -> str:
    return '"tools": [{"type": "function", "function": {"name": "f", "parameters": ' + schema + "}}]"


def in_function(schema: str) -> str:
    return '"functions": [{"name": "f", "parameters": ' + schema + "}]"


def in_format(schema: str) -> str:
    return '"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": ' + schema + "}}"


def body(parameter: str) -> bytes:
    """A request with this parameter."""
    return b'{"model": "m", "messages": [{"role": "user", "content": "x"}], %s}' % parameter.encode()


def further_down(frames: int, call: Callable[[], Any]) -> Any:
    """Call from so much further down the stack."""
    return further_down(frames - 1, call) if frames else call()


def handle(request: ChatRequest) -> None:
    """All that is done with schemas for a turn."""
    settings = request.settings
    history_digest("t", "m", "s", request.tools, request.messages)
    features_of(settings, request.messages)
    turn_settings("sonnet", Telling.of(settings, request.tools, request.messages))
    if settings.format is not None:
        turn_settings(
            "sonnet",
            Telling.of(settings, request.tools, request.messages, form=form_tool(settings.format, request.tools)),
        )


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize(
    ("where", "param"),
    [
        (in_tool, "tools[0].function.parameters"),
        (in_function, "functions[0].parameters"),
        (in_format, "response_format.json_schema.schema"),
    ],
)
def test_the_deepest_schema_that_is_taken_can_be_served(where: Callable[[str], str], param: str, array: bool) -> None:
    """With the deepest all goes well, also far from where it was read; one level more is the client's error."""
    taken = decode_request(body(where(nested(MOST, array))))
    further_down(200, lambda: handle(taken))

    with pytest.raises(InvalidValue, match="at most 500 levels") as caught:
        decode_request(body(where(nested(MOST + 1, array))))
    assert caught.value.param == param


def test_values_at_the_bottom_are_no_level() -> None:
    """Levels are objects and arrays."""
    schema = nested(MOST, array=True).replace('"items": []', '"enum": ' + json.dumps(["word", 1, None]))

    assert decode_request(body(in_tool(schema))).tools[0].name == "f"
