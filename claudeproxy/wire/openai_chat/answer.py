"""
What a stream of Chat Completions and a whole answer have in common.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from claudeproxy.core.events import FinishReason, Usage
from claudeproxy.core.reasoning import Reasoning

__all__ = ["AnswerHead", "usage_object"]

_SERVICE_TIER = "default"
_FINGERPRINT = "fp_claudeproxy"


@frozen
class AnswerHead:
    """
    What is known of an answer before it begins.
    """

    completion_id: str
    model: str
    """The name the client asked for."""
    created: int
    """Seconds since the epoch."""
    reasoning: Reasoning = Reasoning.CONTENT
    legacy_calls: bool = False
    """Whether the client offered its functions in the older way, to which one call without an id is the answer."""

    def members(self, kind: str) -> dict[str, Any]:
        """
        Return what every object of this answer has.

        :param kind: the object's name, for example ``chat.completion``.
        """
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": _SERVICE_TIER,
            "system_fingerprint": _FINGERPRINT,
        }

    def finish_reason(self, reason: FinishReason) -> str:
        """
        Return what the client is told of the reason for the end.
        """
        return "function_call" if self.legacy_calls and reason is FinishReason.TOOL_CALLS else reason.value


def usage_object(usage: Usage) -> dict[str, Any]:
    """
    Return OpenAI's usage object: the prompt holds what the cache gave and took, the completion holds the reasoning.

    Beside OpenAI's names stand Anthropic's two for the cache, which some clients read, and OpenRouter's ``cost``, in
    USD, when it is known.
    """
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }
    if usage.cost_usd is not None:
        told["cost"] = usage.cost_usd
    return told
