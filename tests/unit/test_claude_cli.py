"""
The codec of the CLI's control protocol.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.core.chat import Text
from claudeproxy.core.events import Usage
from claudeproxy.core.health import UsageLimit
from claudeproxy.wire.anthropic import decode_event
from claudeproxy.wire.claude_cli import (
    ControlRequest,
    ControlResponse,
    Initialized,
    LimitSignal,
    Misshapen,
    ModelEvent,
    NotALine,
    Resend,
    SyntheticAnswer,
    TurnResult,
    apply_settings,
    binary_version,
    decode_line,
    initialize,
    interrupt,
    refuse_request,
    user_line,
)


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


RESULT = {
    "duration_api_ms": 30,
    "stop_reason": "end_turn",
    "session_id": "s",
    "total_cost_usd": 0.25,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5},
        "server_tool_use": {"web_search_requests": 0},
    },
    "is_error": False,
    "subtype": "success",
    "api_error_status": None,
    "result": "You said: hello",
    "type": "result",
}


def test_a_result_gives_the_turns_own_usage() -> None:
    """A result line, whose type may stand anywhere in it, becomes the turn's end with its usage."""
    assert decode_line(line(**RESULT)) == TurnResult(
        session_id="s",
        is_error=False,
        subtype="success",
        api_status=None,
        text="You said: hello",
        stop_reason="end_turn",
        usage=Usage(input_tokens=10, cache_read_tokens=4, cache_write_tokens=3, output_tokens=12, reasoning_tokens=5),
        total_cost_usd=0.25,
    )


def test_an_error_result_is_an_error_even_when_its_subtype_is_success() -> None:
    """The API's failures end as subtype success with is_error, so the subtype alone says nothing."""
    decoded = decode_line(line(**{**RESULT, "is_error": True, "api_error_status": 529, "result": "overloaded"}))

    assert isinstance(decoded, TurnResult)
    assert (decoded.is_error, decoded.api_status, decoded.text) == (True, 529, "overloaded")


def test_a_result_of_another_subtype_is_an_error() -> None:
    """error_during_execution is a failure whatever is_error says, and its errors are its text."""
    decoded = decode_line(
        line(type="result", subtype="error_during_execution", session_id="s", errors=["No conversation found"])
    )

    assert isinstance(decoded, TurnResult)
    assert decoded.is_error
    assert decoded.text == "No conversation found"


def test_a_stream_event_keeps_the_models_bytes() -> None:
    """A stream event is handed on verbatim; a subagent's is not part of the answer."""
    assert decode_line(b'{"type":"stream_event","event":{"type": "ping" },"parent_tool_use_id":null}') == ModelEvent(
        b'{"type": "ping" }'
    )
    assert decode_line(b'{"type":"stream_event","event":{},"parent_tool_use_id":"toolu_1"}') is None


def test_half_a_character_does_not_lose_the_line() -> None:
    """JavaScript writes half of a surrogate pair as an escape; the rest of such a line is still understood."""
    decoded = decode_line(
        b'{"type":"stream_event","event":{"text":"a\\ud83d b \\ud83c\\udf89"},"parent_tool_use_id":null}'
    )

    assert isinstance(decoded, ModelEvent)
    assert json.loads(decoded.event) == {"text": "a? b 🎉"}


def test_control_responses_say_whether_they_succeeded() -> None:
    """A control response carries its request's id and, when it failed, the error."""
    good = decode_line(
        b'{"type":"control_response","response":{"subtype":"success","request_id":"r1","response":{"version":"2.1.329"}}}'
    )
    bad = decode_line(b'{"type":"control_response","response":{"subtype":"error","request_id":"r2","error":"no"}}')

    assert isinstance(good, ControlResponse)
    assert (good.request_id, good.error, binary_version(good)) == ("r1", None, "2.1.329")
    assert bad == ControlResponse("r2", "no", b"{}")


def test_the_other_kinds() -> None:
    """The CLI's own requests, its init, its synthetic answers and its rate limits are told apart."""
    assert decode_line(
        line(type="control_request", request_id="x", request={"subtype": "can_use_tool"})
    ) == ControlRequest("x", "can_use_tool")
    assert decode_line(line(type="system", subtype="init", session_id="s", claude_code_version="2")) == Initialized(
        "s", "2"
    )
    assert decode_line(line(type="assistant", message={"model": "<synthetic>"})) == SyntheticAnswer()
    assert decode_line(line(type="assistant", message={"model": "claude-sonnet-5-5", "content": []})) is None
    assert decode_line(
        line(type="rate_limit_event", rate_limit_info={"status": "rejected", "resetsAt": 1795253324})
    ) == LimitSignal(UsageLimit("", "rejected", 1795253324))


def test_a_refusal_for_the_usage_limit_says_until_when() -> None:
    """The CLI's words in the place of an answer carry the limit; the result says that this is why."""
    told = {"status": "rejected", "resetsAt": 1795267318, "rateLimitType": "five_hour", "isUsingOverage": False}
    synthetic = line(type="assistant", message={"model": "<synthetic>"}, api_error_params={"rate_limit_info": told})
    assert decode_line(synthetic) == SyntheticAnswer(UsageLimit("five_hour", "rejected", 1795267318))

    result = decode_line(line(**{**RESULT, "is_error": True, "api_error": "usage_limit_reached"}))
    assert isinstance(result, TurnResult)
    assert result.cause == "usage_limit_reached"


def test_an_api_error_in_the_place_of_an_answer() -> None:
    """The CLI's words carry what the API failed with, because a result line does not always follow."""
    message = {"model": "<synthetic>", "content": [{"type": "text", "text": "API Error: Overloaded"}]}
    decoded = decode_line(
        line(type="assistant", message=message, is_api_error_message=True, api_error_status=529, session_id="s")
    )

    assert isinstance(decoded, SyntheticAnswer)
    assert decoded.api_failure is not None
    assert (decoded.api_failure.is_error, decoded.api_failure.api_status) == (True, 529)
    assert decoded.api_failure.text == "API Error: Overloaded"


@pytest.mark.parametrize(
    "fields", [{"type": "user", "isSynthetic": True}, {"type": "system", "subtype": "api_retry", "attempt": 1}]
)
def test_signs_that_the_api_is_asked_again(fields: dict[str, object]) -> None:
    """The CLI's own message in the user's place, and its notice of a retry, both precede another request."""
    assert decode_line(line(**fields)) == Resend()


@pytest.mark.parametrize("mark", [{}, {"isSynthetic": False}, {"isSynthetic": None}, {"isSynthetic": "yes"}])
def test_a_users_line_is_no_such_sign(mark: dict[str, object]) -> None:
    """Results of tools and interruptions are lines of the user's, too."""
    assert decode_line(line(type="user", message={"role": "user", "content": []}, **mark)) is None


@pytest.mark.parametrize("kind", ["command_lifecycle", "transcript_mirror", "something_new", "user", ""])
def test_unknown_kinds_are_ignored(kind: str) -> None:
    """A kind that does not concern us, or does not exist yet, is no error."""
    assert decode_line(line(type=kind, message="anything", event=[1], response=7)) is None


@pytest.mark.parametrize("garbage", [b"", b"hello", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_garbage_is_named(garbage: bytes) -> None:
    """What is not a line of the protocol raises one error, whatever it is."""
    with pytest.raises(NotALine):
        decode_line(garbage)


@pytest.mark.parametrize("fields", [{}, {"session_id": "s", "subtype": "success", "usage": "none"}])
def test_a_result_without_its_shape_is_no_garbage(fields: dict[str, object]) -> None:
    """Nothing comes after a result, so one that cannot be read must not be skipped."""
    with pytest.raises(Misshapen):
        decode_line(line(type="result", **fields))


def test_an_event_of_tomorrow_is_ignored() -> None:
    """A stream event of a kind that does not exist yet is no error, whatever its fields are."""
    assert decode_event(b'{"type":"brand_new","delta":"x","message":7,"usage":[]}') is None


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Arbitrary bytes decode, or are named as garbage."""
    try:
        decode_line(data)
    except NotALine:
        assert data != line(**RESULT)


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_users_text_arrives_as_it_is_and_is_never_a_command(texts: list[str]) -> None:
    """A user line is one line, marks its text as composed by the client, and holds it unchanged."""
    written = user_line([Text(text) for text in texts], "u")

    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    decoded = json.loads(written)
    assert decoded["client_composed"] is True
    assert [{"type": "text", "text": text} for text in texts] == decoded["message"]["content"]


def test_requests_have_the_shape_that_the_cli_reads() -> None:
    """Our control requests carry their id, and no system prompt is an empty list, not an absent one."""
    assert json.loads(initialize("r1", "Be brief.")) == {
        "type": "control_request",
        "request_id": "r1",
        "request": {"subtype": "initialize", "systemPrompt": ["Be brief."]},
    }
    assert json.loads(initialize("r1", ""))["request"]["systemPrompt"] == []
    assert json.loads(interrupt("r2"))["request"] == {"subtype": "interrupt"}
    assert json.loads(apply_settings("r3", {"effortLevel": "low"}))["request"] == {
        "subtype": "apply_flag_settings",
        "settings": {"effortLevel": "low"},
    }
    assert json.loads(refuse_request("r4", "no"))["response"] == {
        "subtype": "error",
        "request_id": "r4",
        "error": "no",
    }
