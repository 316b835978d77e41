"""
Failures in each dialect's form: as a body, and as an event in a stream that has begun.
"""

from __future__ import annotations

import msgspec

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.sse import DONE, data_event

__all__ = ["anthropic_error", "error_object", "openai_error", "openai_error_event"]

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""By status (https://docs.anthropic.com/en/api/errors); all others are ``api_error``."""


def error_object(error: ClaudeProxyError) -> dict[str, str | None]:
    """
    Return OpenAI's error object; all four keys are there, for their clients show the message from no other shape.
    """
    return {
        "message": _encodable(error.message),
        "type": error.type,
        "param": None if error.param is None else _encodable(error.param),
        "code": error.code,
    }


def openai_error(error: ClaudeProxyError) -> bytes:
    """
    Return OpenAI's error body.
    """
    return msgspec.json.encode({"error": error_object(error)})


def anthropic_error(error: ClaudeProxyError) -> bytes:
    """
    Return Anthropic's error body.
    """
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": _encodable(error.message)}})


def openai_error_event(error: ClaudeProxyError) -> bytes:
    """
    Return what ends a broken stream: the error and the end mark, and no finish reason that could pass for success.
    """
    return data_event(openai_error(error)) + DONE


def _encodable(text: str) -> str:
    """
    Return the text without lone surrogates, which have no UTF-8: an error must never fail to be told.
    """
    return text.encode("utf-8", "replace").decode("utf-8")
