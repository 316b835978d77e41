"""
Chat Completions requests for tests, and what they are refused with.
"""

from __future__ import annotations

import json

import pytest

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.openai_chat import decode_request

__all__ = ["HELLO", "OPTIONAL", "body", "case_name", "refusal"]

HELLO = [{"role": "user", "content": "Hello"}]

OPTIONAL = [
    "stream", "stream_options", "max_completion_tokens", "max_tokens", "stop", "reasoning_effort", "n", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities", "audio",
    "web_search_options", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias",
    "logprobs", "top_logprobs", "user", "safety_identifier", "metadata", "store", "service_tier", "verbosity",
    "prediction", "moderation", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "unheard_of",
]  # fmt: skip
"""Every parameter that a request may leave out, and one that nobody knows."""


def body(messages: object = HELLO, **parameters: object) -> bytes:
    """
    Return a request with these messages and parameters.
    """
    return json.dumps({"model": "gpt-4o", "messages": messages, **parameters}).encode()


def case_name(value: object) -> str:
    """
    Return a short name for a test case, where pytest would take the whole body.
    """
    return f"{value[:60]!r}" if isinstance(value, bytes) else str(value)


def refusal(request: bytes) -> tuple[type[ClaudeProxyError], str | None]:
    """
    Return the kind of error that the request gets, and the parameter that it names.
    """
    with pytest.raises(ClaudeProxyError) as caught:
        decode_request(request)
    assert caught.value.status == 400
    if caught.value.param is not None:
        assert caught.value.param.partition("[")[0] in caught.value.message
    return type(caught.value), caught.value.param
