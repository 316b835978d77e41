"""
What a Chat Completions request may look like.

Every parameter of OpenAI has its type and range here, those that no backend can honour included: a wrong value is told
as such before anything else is said about it. ``null`` means absent. Unknown keys are allowed everywhere. What each
parameter then does is decided in :mod:`claudeproxy.wire.openai_chat.request`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

__all__ = ["ChatCompletionRequest", "ChatMessage", "ContentPart", "RequestHead", "ResponseFormat", "StreamOptions"]

_Object = dict[str, Raw]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_StopSequence = Annotated[str, Meta(min_length=1, max_length=1000)]
_Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class RequestHead(Struct):
    """
    As much of a request as routing needs.
    """

    model: str
    stream: bool | None = None
    store: Raw = Raw(b"null")


class ImageURL(Struct):
    """
    A picture: a data URL, or an http or https URL that it is fetched from. ``detail`` has no effect on Claude Code.
    """

    url: str
    detail: str | None = None


class FileData(Struct):
    """
    A PDF or a text: a data URL, or a PDF's base64 alone. ``file_id`` is refused on Claude Code.
    """

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class ContentPart(Struct):
    """
    One part of a message's content; which of the fields it needs depends on its type: ``text``, ``image_url``, ``file``
    or ``refusal``.
    """

    type: str
    text: str | None = None
    image_url: str | ImageURL | None = None
    file: FileData | None = None
    refusal: str | None = None


class CalledFunction(Struct):
    """
    The function that an assistant's message calls.
    """

    name: str
    arguments: str = ""


class MessageToolCall(Struct):
    """
    One call in an assistant's message.
    """

    id: Annotated[str, Meta(min_length=1)]
    function: CalledFunction | None = None
    type: str = "function"


class ChatMessage(Struct):
    """
    One message of any role.
    """

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None
    name: str | None = None


class FunctionDefinition(Struct):
    """
    A function that the model may call.
    """

    name: str
    description: str | None = None
    parameters: _Object | None = None
    strict: bool | None = None


class ToolDefinition(Struct):
    """
    A tool: only functions are known.
    """

    type: str = "function"
    function: FunctionDefinition | None = None


class NamedFunction(Struct):
    """
    The name of a function.
    """

    name: str


class NamedTool(Struct):
    """
    One of the tools.
    """

    type: str = "function"
    function: NamedFunction | None = None


class AllowedTools(Struct):
    """
    Some of the tools, and whether one of them must be called.
    """

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class ChosenTool(NamedTool):
    """
    The tool that must be called, or those that may be.
    """

    allowed_tools: AllowedTools | None = None


class StreamOptions(Struct):
    """
    How to stream.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JSONSchemaFormat(Struct):
    """
    The schema that the answer's text is to keep to.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    schema: _Object | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """
    What form the answer's text is to have.
    """

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchemaFormat | None = None


class PredictedText(Struct):
    """
    One part of a text.
    """

    type: Literal["text"]
    text: str


class Prediction(Struct):
    """
    Text that the answer is expected to hold.
    """

    type: Literal["content"]
    content: str | Annotated[list[PredictedText], Meta(min_length=1)]


class ChatCompletionRequest(Struct):
    """
    The body of ``POST /v1/chat/completions``.
    """

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: _StopSequence | Annotated[list[_StopSequence], Meta(max_length=4)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None

    # Tools, structured output and other modalities.
    tools: Annotated[list[ToolDefinition], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionDefinition], Meta(max_length=128)] | None = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: _Object | None = None
    web_search_options: _Object | None = None

    # Sampling.
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    # About the request rather than the answer.
    user: str | None = None
    safety_identifier: str | None = None
    metadata: _Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    prediction: Prediction | None = None
    moderation: _Object | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: _Object | None = None
