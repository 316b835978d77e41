"""
Whatever is sent to the stubs gets an answer: a request that the real API refuses breaks no test that is not about it.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.openai import StubOpenAI
from claudeproxy.testing.stub import RecordedRequest, Stub

odd = st.sampled_from([None, True, 0, -1, 1.5, 10**30, "", "auto", "\ud800", [], [None], ["a", 1], {}, {"type": 1}])
text = st.sampled_from(["Hello", "Reply with exactly: yes", "\ud800"]) | odd
kinds = {"type": st.sampled_from(["text", "tool_result", "thinking"]) | odd}
blocks = st.lists(st.fixed_dictionaries(kinds, optional={"text": text, "signature": odd}) | odd, max_size=3)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]) | odd}, optional={"content": text | blocks | odd}
    )
    | odd,
    max_size=3,
)
schema = odd | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "integer", "boolean"]) | odd,
        "properties": st.dictionaries(st.text(max_size=3), odd, max_size=2) | odd,
        "anyOf": odd,
        "enum": odd,
        "items": odd,
        "minItems": odd,
        "minLength": odd,
        "maxLength": odd,
        "$ref": odd,
    },
)
function = (
    st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]) | odd}, optional={"input_schema": schema, "strict": odd})
    | odd
)
choice = odd | st.fixed_dictionaries({"type": st.sampled_from(["any", "tool"])}, optional={"name": text})

chats = st.fixed_dictionaries(
    {"messages": messages | odd},
    optional={
        "max_tokens": odd,
        "max_completion_tokens": odd,
        "stop": text,
        "stream": odd,
        "stream_options": odd | st.fixed_dictionaries({"include_usage": odd}),
    },
)
asked = st.fixed_dictionaries(
    {"messages": messages | odd},
    optional={
        "max_tokens": odd,
        "stop_sequences": odd,
        "stream": odd,
        "system": text | blocks,
        "tools": st.lists(function, max_size=2) | odd,
        "tool_choice": choice,
        "model": st.sampled_from(["claude-sonnet-5-5", "claude-haiku-4-5", "claude-opus-5-5"]) | odd,
        "thinking": odd | st.fixed_dictionaries({"type": st.sampled_from(["enabled", "disabled", "adaptive"]) | odd}),
        "temperature": odd,
        "output_config": odd | st.fixed_dictionaries({"format": odd | st.fixed_dictionaries({"schema": schema})}),
    },
)


def status(stub: Stub, path: str, body: Any) -> int | None:
    """Return the status of the answer, once all of it could be written."""
    raw = json.dumps(body).encode()
    request = RecordedRequest(b"", (), raw, "POST", path, {}, json.loads(raw))
    answer = stub.answer(request)
    for _ in answer.play():
        pass
    return answer.status


@given(chats | odd)
def test_any_chat_is_answered(body: Any) -> None:
    """
    OpenAI's stub answers any JSON: as far as its form is right, or 400.
    """
    assert status(StubOpenAI(), "/v1/chat/completions", body) in (200, 400)


@given(asked | odd, st.sampled_from(["/v1/messages", "/v1/messages/count_tokens"]))
def test_any_message_is_answered(body: Any, path: str) -> None:
    """
    Anthropic's stub answers any JSON: as far as its form is right, or 400.
    """
    assert status(StubAnthropic(), path, body) in (200, 400)
