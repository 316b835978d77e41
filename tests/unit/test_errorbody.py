"""
Failures as clients see them.
"""

from __future__ import annotations

import json

import pytest

from claudeproxy import errors
from claudeproxy.errors import ClaudeProxyError, InvalidValue, Overloaded
from claudeproxy.wire.errorbody import openai_error, openai_error_event
from claudeproxy.wire.sse import EventDecoder

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_all_four_keys(kind: type[ClaudeProxyError]) -> None:
    """Clients show the message only when message, type, param and code are all there."""
    assert json.loads(openai_error(kind("It broke."))) == {
        "error": {"message": "It broke.", "type": kind.type, "param": None, "code": kind.code}
    }


def test_the_parameter_at_fault_is_named() -> None:
    """A client can point at what was wrong."""
    body = json.loads(openai_error(InvalidValue("Out of range.", param="messages[0].role")))

    assert body["error"]["param"] == "messages[0].role"
    assert body["error"]["code"] == "invalid_value"


def test_an_error_in_a_stream_is_an_event_and_the_end_mark() -> None:
    """A client that reads a stream gets the same error, then the end, and nothing that looks like a success."""
    error = Overloaded("Try later.\nReally.")
    events = EventDecoder(1000).feed(openai_error_event(error))

    assert [event.data for event in events] == [openai_error(error), b"[DONE]"]


def test_a_message_that_is_no_unicode_is_told_all_the_same() -> None:
    """An error whose text holds half a character still becomes an answer."""
    assert json.loads(openai_error(InvalidValue("bad \ud83d", param="x\udc00")))["error"] == {
        "message": "bad ?",
        "type": "invalid_request_error",
        "param": "x?",
        "code": "invalid_value",
    }
