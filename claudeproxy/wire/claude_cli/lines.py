"""
What the CLI says: one JSON object a line.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from attrs import frozen

from claudeproxy.core.events import Usage
from claudeproxy.core.health import UsageLimit
from claudeproxy.wire.anthropic import TokenCounts

__all__ = [
    "TESTED_VERSION",
    "ControlRequest",
    "ControlResponse",
    "Initialized",
    "LimitSignal",
    "Line",
    "McpRequest",
    "Misshapen",
    "ModelEvent",
    "NotALine",
    "Resend",
    "SyntheticAnswer",
    "TurnResult",
    "binary_version",
    "decode_line",
    "session_cost",
]

TESTED_VERSION = "2.1.329"
"""The version of the CLI whose words these are, and with which the daemon is tested."""


class Misshapen(ValueError):
    """
    A line of a kind that a turn waits for has lost its shape.
    """


class NotALine(ValueError):
    """
    The bytes are not one of the CLI's JSON lines: something else writes to its stdout.
    """


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
class McpRequest:
    """
    A message of the CLI's to the MCP server that the client's functions are.
    """

    request_id: str
    """Of the control request that brings it."""
    message_id: Any
    """Of the message itself; a notification has none."""
    method: str
    """For example ``tools/call``."""
    call_id: str = ""
    """Of a call: the id of the block in which the model made it."""


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

    limit: UsageLimit | None = None
    """The account's usage limit, where that is why there is no answer."""
    api_failure: TurnResult | None = None
    """What the API failed with, in the shape of the ``result`` line. That line repeats it, but does not come while the
    CLI waits for the result of a tool call (observed, CLI 2.1.329)."""


@frozen
class Resend:
    """
    The CLI is about to ask the API again by itself: after a response that broke off, or to repeat a request.
    """


@frozen
class LimitSignal:
    """
    The account's usage limit has changed, as the API said in response headers; told to subscribers only (seen).
    """

    limit: UsageLimit


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
    cause: str | None = None
    """The CLI's own name of the failure, where it has one, for example ``usage_limit_reached`` (its ``api_error``)."""
    api_code: str | None = None
    """The API's own name of it: ``error.details.error_code`` of its body, for example ``credits_required``."""
    api_type: str | None = None
    """The type of the API's error, for example ``invalid_request_error``. Of one that came as an event of a stream it
    is all that there is, but for rate_limit_error and overloaded_error, which have a status, too (observed, CLI
    2.1.329)."""


Line = (
    ControlResponse
    | ControlRequest
    | McpRequest
    | Initialized
    | ModelEvent
    | SyntheticAnswer
    | Resend
    | LimitSignal
    | TurnResult
)


class _Envelope(msgspec.Struct):
    type: str = ""
    subtype: str | None = None
    parent_tool_use_id: str | None = None
    event: msgspec.Raw = msgspec.Raw()
    isSynthetic: Any = None


class _ResponseBody(msgspec.Struct):
    request_id: str
    subtype: str
    error: Any = None
    response: msgspec.Raw = msgspec.Raw(b"{}")


class _Response(msgspec.Struct):
    response: _ResponseBody


class _CallMeta(msgspec.Struct):
    call_id: str = msgspec.field(default="", name="claudecode/toolUseId")


class _McpParams(msgspec.Struct):
    meta: _CallMeta | None = msgspec.field(default=None, name="_meta")


class _McpMessage(msgspec.Struct):
    method: str = ""
    id: Any = None
    params: _McpParams | None = None


class _RequestBody(msgspec.Struct):
    subtype: str
    message: _McpMessage | None = None


class _Request(msgspec.Struct):
    request_id: str
    request: _RequestBody


class _Init(msgspec.Struct):
    session_id: str
    claude_code_version: str | None = None


class _AssistantBody(msgspec.Struct):
    model: str = ""
    content: Any = None


class _RateLimitInfo(msgspec.Struct):
    status: str
    resetsAt: float | None = None
    rateLimitType: str | None = None
    utilization: float | None = None

    def limit(self) -> UsageLimit:
        return UsageLimit(self.rateLimitType or "", self.status, self.resetsAt, self.utilization)


class _RateLimit(msgspec.Struct):
    rate_limit_info: _RateLimitInfo


class _ErrorParams(msgspec.Struct):
    rate_limit_info: _RateLimitInfo | None = None


class _Assistant(msgspec.Struct):
    message: _AssistantBody
    session_id: str = ""
    is_api_error_message: Any = None
    api_error_status: int | None = None
    api_error: str | None = None
    api_error_type: str | None = None
    api_error_code: str | None = None
    api_error_params: _ErrorParams | None = None


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
    api_error: str | None = None
    api_error_type: str | None = None
    api_error_code: str | None = None


class _Version(msgspec.Struct):
    version: str | None = None


class _SessionUsage(msgspec.Struct):
    total_cost_usd: float | None = None


class _Usage(msgspec.Struct):
    session: _SessionUsage | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_init = msgspec.json.Decoder(_Init).decode
_decode_assistant = msgspec.json.Decoder(_Assistant).decode
_decode_result = msgspec.json.Decoder(_Result).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_decode_usage = msgspec.json.Decoder(_Usage).decode
_decode_rate_limit = msgspec.json.Decoder(_RateLimit).decode


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
    except (msgspec.DecodeError, RecursionError) as error:
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
            return _control_request(request)
        case "system" if envelope.subtype == "init":
            init = _decode_init(line)
            return Initialized(init.session_id, init.claude_code_version)
        case "system" if envelope.subtype == "api_retry":
            return Resend()
        case "user" if envelope.isSynthetic is True:
            return Resend()
        case "assistant":
            return _synthetic(_decode_assistant(line))
        case "rate_limit_event":
            return LimitSignal(_decode_rate_limit(line).rate_limit_info.limit())
        case _:
            return None


def _control_request(request: _Request) -> ControlRequest | McpRequest:
    message = request.request.message
    if request.request.subtype != "mcp_message" or message is None:
        return ControlRequest(request.request_id, request.request.subtype)
    meta = None if message.params is None else message.params.meta
    return McpRequest(request.request_id, message.id, message.method, "" if meta is None else meta.call_id)


def _synthetic(answer: _Assistant) -> SyntheticAnswer | None:
    if answer.message.model != "<synthetic>":
        return None
    info = None if answer.api_error_params is None else answer.api_error_params.rate_limit_info
    return SyntheticAnswer(None if info is None else info.limit(), _api_failure(answer))


def _api_failure(answer: _Assistant) -> TurnResult | None:
    if answer.is_api_error_message is not True:
        return None
    blocks = answer.message.content if isinstance(answer.message.content, list) else ()
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return _result(
        _Result(
            session_id=answer.session_id,
            subtype="success",
            is_error=True,
            api_error_status=answer.api_error_status,
            result="".join(text for text in texts if isinstance(text, str)),
            api_error=answer.api_error,
            api_error_type=answer.api_error_type,
            api_error_code=answer.api_error_code,
        )
    )


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
        cause=result.api_error,
        api_code=result.api_error_code,
        api_type=result.api_error_type,
    )


def binary_version(response: ControlResponse) -> str | None:
    """
    Return the version that ``get_binary_version`` was answered with, or None.
    """
    try:
        return _decode_version(response.payload).version
    except msgspec.DecodeError:
        return None


def session_cost(response: ControlResponse) -> float | None:
    """
    Return what the process has cost since it started, in USD, as ``get_usage`` was answered; None if it was not said.
    """
    try:
        usage = _decode_usage(response.payload)
    except msgspec.DecodeError:
        return None
    return None if usage.session is None else usage.session.total_cost_usd
