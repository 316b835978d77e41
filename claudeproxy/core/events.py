"""
The stream of events that a backend answers with, whatever it runs on.

Order: :class:`TextDelta`, :class:`ReasoningDelta` and calls as they come, then one :class:`UsageReport`, then one
:class:`Finished`. A failure is not an event: the Deferred of ``IChatBackend.open`` fails with an error of
:mod:`claudeproxy.errors`.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

__all__ = [
    "FinishReason",
    "Finished",
    "ReasoningDelta",
    "StreamEvent",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallStarted",
    "TurnHead",
    "Usage",
    "UsageReport",
]


class FinishReason(StrEnum):
    """
    Why the answer ended; the names are OpenAI's.
    """

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


@frozen
class TurnHead:
    """
    What is known before the first token and travels in response headers.
    """

    session_id: str
    session_created: bool
    ignored: tuple[str, ...] = ()


@frozen
class TextDelta:
    """
    A piece of the answer, never empty.
    """

    text: str


@frozen
class ReasoningDelta:
    """
    A piece of the model's visible reasoning, never empty.
    """

    text: str


@frozen
class ToolCallStarted:
    """
    The model begins to call a function. What it calls it with follows; one call ends before the next begins.
    """

    index: int
    """Of the call within the answer, from 0."""
    call_id: str
    name: str


@frozen
class ToolCallDelta:
    """
    A piece of the arguments of the call that was begun last, never empty.
    """

    index: int
    arguments: str


@frozen
class Usage:
    """
    Tokens of one turn, as the backend counted them.
    """

    input_tokens: int = 0
    """Input that was neither read from nor written to the prompt cache."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """All generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    cost_usd: float | None = None

    @property
    def prompt_tokens(self) -> int:
        """All input, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    def plus(self, other: Usage) -> Usage:
        """Return both together; their cost is known only if that of each is."""
        costs = self.cost_usd, other.cost_usd
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            None if costs[0] is None or costs[1] is None else costs[0] + costs[1],
        )


@frozen
class UsageReport:
    """
    The turn's usage; comes once, before :class:`Finished`.
    """

    usage: Usage


@frozen
class Finished:
    """
    The answer is complete.
    """

    reason: FinishReason
    refusal: str = ""
    """With ``CONTENT_FILTER``: why the model refuses, in the backend's words, if it has any."""


StreamEvent = TextDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta | UsageReport | Finished
