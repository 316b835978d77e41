"""
Requests of Chat Completions, decoded to the neutral model.
"""

from __future__ import annotations

import re

import msgspec
from attrs import frozen

from claudeproxy.core.chat import Effort, Message, Role, TurnSettings
from claudeproxy.core.tools import Tool, ToolChoice
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.openai_chat.formats import decode_format
from claudeproxy.wire.openai_chat.messages import decode_messages
from claudeproxy.wire.openai_chat.schema import ChatCompletionRequest, RequestHead
from claudeproxy.wire.openai_chat.tools import decode_tool_choice, decode_tools, has_legacy_calls
from claudeproxy.wire.surrogates import without_surrogates
from claudeproxy.wire.validation import decode, invalid, missing, unsupported

__all__ = ["TAKES_EFFECT", "ChatBody", "Peek", "decode_request", "peek"]


@frozen
class Peek:
    """
    What routing needs to know of a request.
    """

    model: str
    stream: bool
    stores: bool = False
    """Whether the upstream is to keep the answer for later."""


@frozen
class ChatBody:
    """
    A decoded request.
    """

    model: str
    """The name the client asked for."""
    messages: tuple[Message, ...]
    """The conversation without the system messages that it begins with."""
    system: str
    """These in order, joined by a blank line."""
    tools: tuple[Tool, ...]
    settings: TurnSettings
    stream: bool
    include_usage: bool
    """Whether the stream is to end with its usage."""
    ignored: tuple[str, ...]
    """Parameters that were accepted without effect, in the order of the request; fit for a header."""
    legacy_calls: bool = False
    """Whether the answer is to have a call in the form that came before ``tool_calls``."""


_HEAD = msgspec.json.Decoder(RequestHead)
_REQUEST = msgspec.json.Decoder(ChatCompletionRequest)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])

_NULL = msgspec.Raw(b"null")
_NOT_STORED = (b"null", b"false")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_IGNORED = 50
_MOST_TOKENS = 2**31 - 1

TAKES_EFFECT = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_completion_tokens",
        "max_tokens",
        "stop",
        "reasoning_effort",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        # Whether these do is the backend's to say.
        "temperature",
        "top_p",
        # These are refused unless they ask for what happens anyway.
        "n",
        "modalities",
        "audio",
        "web_search_options",
        "logit_bias",
        "logprobs",
        "top_logprobs",
    }
)
"""Every other parameter is accepted without effect, and reported here."""


def peek(body: bytes) -> Peek:
    """
    Read what routing needs and leave the rest unlooked at, though it must be JSON. Unpaired surrogates, which JSON
    allows and Unicode does not, are a matter for whoever reads the strings that hold them.

    :raises ClaudeProxyError: as :func:`decode_request` does, for these parameters.
    """
    head = _head(body)
    if not head.model:
        raise missing("model")
    return Peek(head.model, bool(head.stream), bytes(head.store) not in _NOT_STORED)


def _head(body: bytes) -> RequestHead:
    fault: ClaudeProxyError
    try:
        return decode(_HEAD, body)
    except ClaudeProxyError as error:
        fault = error
    for readable in without_surrogates(body):
        if readable != body:
            try:
                return decode(_HEAD, readable)
            except ClaudeProxyError as error:
                fault = error
    raise fault


def decode_request(body: bytes) -> ChatBody:
    """
    Decode a request.

    :raises InvalidJSON: when the body is not JSON.
    :raises MissingParameter: when a required parameter is absent.
    :raises InvalidValue: when a parameter has a wrong type or is out of range.
    :raises UnsupportedParameter: when a parameter would change the answer's meaning and cannot be honoured.
    """
    request = decode(_REQUEST, body)
    if not request.model:
        raise missing("model")
    _refuse_unsupported(request)
    messages, system = decode_messages(request.messages)
    last = next((message for message in reversed(messages) if message.worded is not None), None)
    if last is not None and last.role is Role.ASSISTANT and decode_format(request.response_format) is not None:
        # What came after such a beginning would have no form.
        raise unsupported(
            "response_format",
            "an answer cannot both have a form and be begun; the last message must be the user's",
        )
    tools = decode_tools(request)
    options = request.stream_options
    return ChatBody(
        model=request.model,
        messages=messages,
        system=system,
        tools=tools,
        settings=_settings(request, decode_tool_choice(request, tools)),
        stream=bool(request.stream),
        include_usage=options is not None and bool(options.include_usage),
        ignored=_ignored(body),
        legacy_calls=has_legacy_calls(request),
    )


def _ignored(body: bytes) -> tuple[str, ...]:
    """
    Return the names to report. They go into a header, so odd ones and endless lists of them are left out.
    """
    given = (name for name, value in decode(_KEYS, body).items() if name not in TAKES_EFFECT and value != _NULL)
    return tuple(name for name in given if _NAME.fullmatch(name))[:_MOST_IGNORED]


# -- Parameters ---------------------------------------------------------------


def _refuse_unsupported(request: ChatCompletionRequest) -> None:
    """
    Refuse what would change the meaning of the answer; what only asks for the usual passes.
    """
    if request.n not in (None, 1):
        raise unsupported("n", "only one choice can be generated, so send 1 or leave it out")
    if request.modalities not in (None, ["text"]):
        raise unsupported("modalities", "they can only be ['text']")
    if request.audio is not None:
        raise unsupported("audio", "answers are text")
    if request.web_search_options is not None:
        raise unsupported("web_search_options", "the web cannot be searched")
    if request.logit_bias:
        raise unsupported("logit_bias", "tokens cannot be biased")
    if request.logprobs:
        raise unsupported("logprobs", "the probabilities of tokens are not known")
    if request.top_logprobs:
        raise unsupported("top_logprobs", "the probabilities of tokens are not known")


def _settings(request: ChatCompletionRequest, tool_choice: ToolChoice) -> TurnSettings:
    newer = _token_limit("max_completion_tokens", request.max_completion_tokens)
    older = _token_limit("max_tokens", request.max_tokens)
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    return TurnSettings(
        effort=_effort(request.reasoning_effort),
        max_tokens=older if newer is None else newer,
        stop=stop,
        tool_choice=tool_choice,
        format=decode_format(request.response_format),
        temperature=request.temperature,
        top_p=request.top_p,
    )


def _token_limit(param: str, value: int | None) -> int | None:
    # -1 is how n8n says that none is set.
    if value is None or value == -1:
        return None
    if not 0 < value <= _MOST_TOKENS:
        raise invalid(param, f"an integer from 1 to {_MOST_TOKENS}")
    return value


def _effort(value: str | None) -> Effort | None:
    if value is None:
        return None
    return Effort.LOW if value == "minimal" else Effort(value)
