"""
Failures in each dialect's form: as a body, and as an event in a stream that has begun.
"""

from __future__ import annotations

import msgspec

from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.sse import DONE, data_event

__all__ = ["openai_error", "openai_error_event"]


def openai_error(error: ClaudeProxyError) -> bytes:
    """
    Return OpenAI's error body; all four keys are there, for their clients show the message from no other shape.
    """
    return msgspec.json.encode(
        {
            "error": {
                "message": _encodable(error.message),
                "type": error.type,
                "param": None if error.param is None else _encodable(error.param),
                "code": error.code,
            }
        }
    )


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
