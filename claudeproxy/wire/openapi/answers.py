"""
What the answers look like, declared for the OpenAPI document.

Nothing is encoded with these types: answers are put together where their parts are known, as fast as each allows. That
they match is a test's business. Only what every answer has is required, for an upstream's answers are relayed as they
are. Fields with ``UNSET`` may be absent, fields with None are there and may be null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "ChatCompletion",
    "ChatCompletionChunk",
    "ErrorBody",
    "Health",
    "Live",
    "Model",
    "ModelList",
    "Ready",
    "Root",
]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Error(Struct):
    """
    What went wrong. All four keys are always there.
    """

    message: str
    type: str
    param: str | None
    """The request parameter at fault, for example ``messages[0].role``."""
    code: str | None


class ErrorBody(Struct):
    """
    The body of every error.
    """

    error: Error


class PromptTokensDetails(Struct):
    """
    What the prompt's tokens were.
    """

    cached_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    audio_tokens: int | UnsetType = UNSET


class CompletionTokensDetails(Struct):
    """
    What the answer's tokens were.
    """

    reasoning_tokens: int | UnsetType = UNSET
    audio_tokens: int | UnsetType = UNSET
    accepted_prediction_tokens: int | UnsetType = UNSET
    rejected_prediction_tokens: int | UnsetType = UNSET


class CompletionUsage(Struct):
    """
    The tokens of this request; those of the cache are part of the prompt's, those of thinking of the completion's. The
    cost is in USD.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | UnsetType = UNSET
    completion_tokens_details: CompletionTokensDetails | UnsetType = UNSET
    cache_read_input_tokens: int | UnsetType = UNSET
    cache_creation_input_tokens: int | UnsetType = UNSET
    cost: float | UnsetType = UNSET


class Function(Struct):
    """
    A function that the model calls, and with what: the text of a JSON object.
    """

    name: str
    arguments: str


class ToolCall(Struct):
    """
    A call, whose result a message of role ``tool`` is to bring.
    """

    id: str
    type: Literal["function"]
    function: Function


class AssistantMessage(Struct):
    """
    The answer. The thinking that led to it is in two fields with the same text, since clients read either. To a request
    with ``functions`` alone there is a ``function_call`` in the place of ``tool_calls``.
    """

    role: Literal["assistant"]
    content: str | None
    refusal: str | UnsetType | None = UNSET
    annotations: list[Any] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET
    function_call: Function | UnsetType = UNSET


class Choice(Struct):
    """
    One answer.
    """

    index: int
    message: AssistantMessage
    finish_reason: FinishReason
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class ChatCompletion(Struct):
    """
    A whole answer.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage | UnsetType = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET


class FunctionDelta(Struct):
    """
    The function's name at first, then pieces of its arguments.
    """

    arguments: str
    name: str | UnsetType = UNSET


class ToolCallDelta(Struct):
    """
    A call begins, with its id, or goes on.
    """

    index: int
    function: FunctionDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class Delta(Struct):
    """
    What has come since the chunk before. The first has the role, the last nothing.
    """

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET
    function_call: FunctionDelta | UnsetType = UNSET


class ChunkChoice(Struct):
    """
    A piece of one answer.
    """

    index: int
    delta: Delta
    finish_reason: FinishReason | None
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class ChatCompletionChunk(Struct):
    """
    The data of one event of a stream. If usage was asked for, a last chunk without choices has it.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET


class Model(Struct):
    """
    A model, or a name that stands for one; an upstream may tell more about its own.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    type: Literal["model"]
    display_name: str
    created_at: str


class ModelList(Struct):
    """
    All models, in a shape that the clients of both dialects read.
    """

    object: Literal["list"]
    data: list[Model]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None


class Root(Struct):
    """
    What this server is.
    """

    name: Literal["claudeproxy"]
    version: str
    links: dict[str, str]


class Live(Struct):
    """
    The daemon answers.
    """

    status: Literal["alive"]


class Ready(Struct):
    """
    Whether requests may come, and if not, why.
    """

    status: Literal["ready", "unavailable"]
    reasons: list[str]


class Capacity(Struct):
    """
    How the CLI's processes are used.
    """

    active: int
    max: int
    queued: int
    warm: int
    live: int
    parked: int


class AccountLimit(Struct):
    """
    A usage limit of the account that is near or reached.
    """

    type: str | None
    status: Literal["allowed_warning", "rejected"]
    utilization: float | None
    resets_at: datetime | None


class UpstreamCheck(Struct):
    """
    How an upstream is, as far as that is known without asking it.
    """

    status: Literal["ok", "no_key", "disabled"]
    breaker: Literal["closed", "open", "half_open"]
    """Open: it failed too often in a row and is not asked. Half open: the next request decides."""
    failures: int
    """Failures in a row."""


class Checks(Struct):
    """
    How each part is.
    """

    claude_cli: Literal["ok", "missing", "failing"]
    anthropic_key: Literal["ok", "missing"]
    openai_passthrough: Literal["ok", "no_key", "disabled"]
    upstreams: dict[str, UpstreamCheck]
    capacity: Capacity
    usage_limits: list[AccountLimit]


class Health(Struct):
    """
    How everything is.
    """

    status: Literal["ready", "unavailable"]
    version: str
    claude_version: str | None
    checks: Checks
    reasons: list[str]
