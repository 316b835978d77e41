"""
The control protocol of the Claude Code CLI: JSON lines both ways.

Written from what Claude Code 2.1.329 does on the wire with ``-p --input-format stream-json --output-format stream-json
--verbose --include-partial-messages``; the types are declared in the npm package ``@anthropic-ai/claude-agent-sdk``
(``sdk.d.ts``). New kinds of lines appear with every release, so everything that is not known here decodes to None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from claudeproxy.core.events import Usage
from claudeproxy.wire.anthropic import TokenCounts

__all__ = [
    "ControlRequest",
    "ControlResponse",
    "Initialized",
    "Line",
    "Misshapen",
    "ModelEvent",
    "NotALine",
    "RateLimitSignal",
    "SyntheticAnswer",
    "TurnResult",
    "apply_settings",
    "binary_version",
    "decode_line",
    "initialize",
    "interrupt",
    "refuse_request",
    "simple_request",
    "user_line",
]


class Misshapen(ValueError):
    """
    A line of a kind that a turn waits for has lost its shape.
    """


class NotALine(ValueError):
    """
    The bytes are not one of the CLI's JSON lines: something else writes to its stdout.
    """


# -- What the CLI says --------------------------------------------------------


@frozen
class ControlResponse:
    """
    The CLI's answer to a control request of ours.
    """

    request_id: str
    error: str | None
    """None when it succeeded."""
    payload: bytes
    """The answer's own JSON object, ``{}`` when there is none."""


@frozen
class ControlRequest:
    """
    A request of the CLI to us.
    """

    request_id: str
    subtype: str


@frozen
class Initialized:
    """
    The ``system``/``init`` line at the start of each turn.
    """

    session_id: str
    version: str | None


@frozen
class ModelEvent:
    """
    One stream event of the Messages API, verbatim.
    """

    event: bytes


@frozen
class SyntheticAnswer:
    """
    The CLI's own words in the place of the model's: an error text that must not be passed on as an answer.
    """


@frozen
class RateLimitSignal:
    """
    The account's usage limit, as the API reported it in response headers.
    """

    status: str
    """``allowed``, ``allowed_warning`` or ``rejected``."""
    resets_at: float | None
    """Seconds since the epoch."""


@frozen
class TurnResult:
    """
    The ``result`` line: the turn is over.
    """

    session_id: str
    is_error: bool
    subtype: str
    api_status: int | None
    text: str
    stop_reason: str | None
    usage: Usage
    """Of this turn; without a cost, which runs on over the life of the process."""
    total_cost_usd: float
    """Since the process started."""


Line = ControlResponse | ControlRequest | Initialized | ModelEvent | SyntheticAnswer | RateLimitSignal | TurnResult


class _Envelope(msgspec.Struct):
    type: str = ""
    subtype: str | None = None
    parent_tool_use_id: str | None = None
    session_id: str | None = None
    event: msgspec.Raw = msgspec.Raw()


class _ResponseBody(msgspec.Struct):
    request_id: str
    subtype: str
    error: Any = None
    response: msgspec.Raw = msgspec.Raw(b"{}")


class _Response(msgspec.Struct):
    response: _ResponseBody


class _RequestBody(msgspec.Struct):
    subtype: str


class _Request(msgspec.Struct):
    request_id: str
    request: _RequestBody


class _Init(msgspec.Struct):
    session_id: str
    claude_code_version: str | None = None


class _AssistantBody(msgspec.Struct):
    model: str = ""


class _Assistant(msgspec.Struct):
    message: _AssistantBody


class _Result(msgspec.Struct):
    session_id: str
    subtype: str
    is_error: bool = False
    api_error_status: int | None = None
    result: str | None = None
    stop_reason: str | None = None
    usage: TokenCounts | None = None
    total_cost_usd: float | None = None
    errors: list[Any] | None = None


class _Version(msgspec.Struct):
    version: str | None = None


class _RateLimitInfo(msgspec.Struct):
    status: str
    resetsAt: float | None = None


class _RateLimit(msgspec.Struct):
    rate_limit_info: _RateLimitInfo


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_init = msgspec.json.Decoder(_Init).decode
_decode_assistant = msgspec.json.Decoder(_Assistant).decode
_decode_result = msgspec.json.Decoder(_Result).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_decode_rate_limit = msgspec.json.Decoder(_RateLimit).decode
_encode = msgspec.json.Encoder().encode


def decode_line(line: bytes) -> Line | None:
    """
    Decode one line of the CLI's stdout; None for a kind that does not concern us.

    :raises NotALine: it is no JSON object, or a kind that we know has lost its shape.
    :raises Misshapen: so has the line that ends a turn; nothing else will come.
    """
    try:
        return _decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        mended = _without_half_characters(line)
        if mended is None:
            raise NotALine(str(error)) from error
    try:
        return _decode(mended)
    except msgspec.DecodeError as error:
        raise NotALine(str(error)) from error


def _without_half_characters(line: bytes) -> bytes | None:
    """
    Replace the halves of surrogate pairs, which JavaScript writes and nobody else can read; None if there are none.
    """
    if b"\\ud" not in line.lower():
        return None
    try:
        return json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return None


def _decode(line: bytes) -> Line | None:
    envelope = _decode_envelope(line)
    match envelope.type:
        case "stream_event":
            # A subagent's events are not the answer.
            return ModelEvent(bytes(envelope.event)) if envelope.parent_tool_use_id is None else None
        case "result":
            try:
                return _result(_decode_result(line))
            except msgspec.DecodeError as error:
                raise Misshapen(f"the result line: {error}") from error
        case "control_response":
            body = _decode_response(line).response
            failed = body.subtype != "success"
            return ControlResponse(body.request_id, str(body.error) if failed else None, bytes(body.response))
        case "control_request":
            request = _decode_request(line)
            return ControlRequest(request.request_id, request.request.subtype)
        case "system" if envelope.subtype == "init":
            init = _decode_init(line)
            return Initialized(init.session_id, init.claude_code_version)
        case "assistant" if _decode_assistant(line).message.model == "<synthetic>":
            return SyntheticAnswer()
        case "rate_limit_event":
            info = _decode_rate_limit(line).rate_limit_info
            return RateLimitSignal(info.status, info.resetsAt)
        case _:
            return None


def _result(result: _Result) -> TurnResult:
    text = result.result if result.result is not None else "; ".join(str(error) for error in result.errors or ())
    return TurnResult(
        session_id=result.session_id,
        is_error=result.is_error or result.subtype != "success",
        subtype=result.subtype,
        api_status=result.api_error_status,
        text=text,
        stop_reason=result.stop_reason,
        usage=(result.usage or TokenCounts()).usage(),
        total_cost_usd=result.total_cost_usd or 0.0,
    )


# -- What we say --------------------------------------------------------------


def _request(request_id: str, request: Mapping[str, Any]) -> bytes:
    return _encode({"type": "control_request", "request_id": request_id, "request": request}) + b"\n"


def binary_version(response: ControlResponse) -> str | None:
    """
    Return the version that ``get_binary_version`` was answered with, or None.
    """
    try:
        return _decode_version(response.payload).version
    except msgspec.DecodeError:
        return None


def simple_request(request_id: str, subtype: str) -> bytes:
    """
    A control request that needs no arguments, for example ``get_binary_version``.
    """
    return _request(request_id, {"subtype": subtype})


def initialize(request_id: str, system: str) -> bytes:
    """
    Give the conversation its system prompt.

    An empty one is sent as an empty list: without the field the CLI sends its own prompt of some 6,600 characters.
    """
    return _request(request_id, {"subtype": "initialize", "systemPrompt": [system] if system else []})


def interrupt(request_id: str) -> bytes:
    """
    End the running turn.
    """
    return _request(request_id, {"subtype": "interrupt"})


def apply_settings(request_id: str, settings: Mapping[str, Any]) -> bytes:
    """
    Change settings of the live process for the turns that follow.
    """
    return _request(request_id, {"subtype": "apply_flag_settings", "settings": settings})


def refuse_request(request_id: str, message: str) -> bytes:
    """
    Answer a control request of the CLI with an error, so that it does not wait.
    """
    response = {"subtype": "error", "request_id": request_id, "error": message}
    return _encode({"type": "control_response", "response": response}) + b"\n"


def user_line(texts: Sequence[str], uuid: str) -> bytes:
    """
    One user message, a text block for each of ``texts``; it starts a turn.

    ``client_composed`` is what keeps the text plain. Without it, the CLI treats the text as typed at its terminal:
    ``@/etc/passwd`` becomes that file's contents, and ``/cost`` runs as a command.
    """
    content: Any = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
    line = {
        "type": "user",
        "message": {"role": "user", "content": content},
        "parent_tool_use_id": None,
        "session_id": "",
        "uuid": uuid,
        "client_composed": True,
    }
    return _encode(line) + b"\n"
