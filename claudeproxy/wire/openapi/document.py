"""
The OpenAPI document, made of the types that decode requests and of the errors that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from claudeproxy import errors
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.openai_chat.request import TAKES_EFFECT
from claudeproxy.wire.openai_chat.schema import ChatCompletionRequest
from claudeproxy.wire.openapi.answers import ErrorBody
from claudeproxy.wire.openapi.operations import CHAT_EXAMPLES, EVENTS, HEADERS, HTML, JSON, OPERATIONS, Operation

__all__ = ["document"]

_REF = "#/components/schemas/{name}"
_KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]

_ANYWHERE = (
    errors.MalformedRequest,
    errors.RequestTimeout,
    errors.RequestTooLarge,
    errors.URITooLong,
    errors.HeadersTooLarge,
    errors.InternalError,
)
_BEHIND_THE_DOOR = (
    errors.MissingAPIKey,
    errors.InvalidAPIKey,
    errors.OriginNotAllowed,
    errors.ServerShuttingDown,
    errors.ConcurrencyLimitExceeded,
    errors.RateLimited,
)

_ABOUT = """\
OpenAI's protocol in front of Claude Code and of any OpenAI-compatible upstream.

`/v1` may be left out and, on the paths without it, may be added. Every path answers `OPTIONS`, and `HEAD` where it \
answers `GET`; another method is 405 `method_not_supported`. Every other path below `/v1` is relayed to the upstream \
unchanged, where one is configured.

Every error has the body `{"error": {"message", "type", "param", "code"}}`, with all four keys. Where no key is \
configured, none is asked for.
"""

_NOTES = {
    "model": "The model, or a name that stands for one. The answer echoes it.",
    "messages": "The conversation, of texts, pictures and files; the last message is the user's.",
    "stream": "Whether the answer is to come as server-sent events.",
    "stream_options": "Whether a stream is to end with its usage.",
    "max_completion_tokens": "Bounds the answer, thinking included; -1 stands for no bound.",
    "max_tokens": "As `max_completion_tokens`, which wins.",
    "stop": "The answer ends before the first of these texts.",
    "reasoning_effort": "How hard the model thinks.",
}
_ONLY_USUAL = "On Claude Code, a value that asks for something out of the ordinary is refused: `unsupported_parameter`."
_NO_EFFECT = "On Claude Code, accepted without effect and named in `X-Claude-Ignored-Params`."


def document(version: str) -> dict[str, Any]:
    """
    Return the document.

    :param version: the daemon's.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "claudeproxy",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "security": _KEYS,
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "headers": {
                name: {"description": header.description, "schema": dict(header.schema)}
                for name, header in HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "As OpenAI's clients send it."},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "As Anthropic's clients send it.",
                },
            },
        },
    }


# -- Types --------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    """
    Return the schemas of all types that a request or an answer is made of.
    """
    given = {kind for operation in OPERATIONS for reply in operation.replies.values() for kind in reply.media.values()}
    kinds = sorted((kind for kind in given if kind is not None), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components([ChatCompletionRequest, ErrorBody, *kinds], ref_template=_REF)
    for schema in schemas.values():
        # reStructuredText becomes the Markdown of OpenAPI.
        schema["description"] = schema["description"].replace("``", "`")
    for name, parameter in schemas["ChatCompletionRequest"]["properties"].items():
        parameter["description"] = _NOTES.get(name) or (_ONLY_USUAL if name in TAKES_EFFECT else _NO_EFFECT)
    return schemas


def _ref(kind: type[Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


# -- Operations ---------------------------------------------------------------


def _operation(operation: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "responses": _replies(operation) | _errors(operation),
    }
    parameters = [
        {
            "name": name,
            "in": place,
            "required": place == "path",
            "description": header.description,
            "schema": header.schema,
        }
        for place, headers in (("path", operation.path_parameters), ("header", operation.headers))
        for name, header in headers.items()
    ]
    if parameters:
        said["parameters"] = parameters
    if operation.body is not None:
        content = {"schema": {"$ref": _REF.format(name=operation.body)}, "examples": CHAT_EXAMPLES}
        said["requestBody"] = {"required": True, "content": {JSON: content}}
    if operation.public:
        said["security"] = []
    return said


def _replies(operation: Operation) -> dict[str, Any]:
    return {
        str(status): {
            "description": reply.description,
            "headers": _headers("X-Request-ID", *reply.headers),
            "content": {media: {"schema": _body(media, kind)} for media, kind in reply.media.items()},
        }
        for status, reply in operation.replies.items()
    }


def _body(media: str, kind: type[Struct] | None) -> dict[str, Any]:
    if media == EVENTS and kind is not None:
        return _event(kind)
    if kind is not None:
        return _ref(kind)
    return {"type": "string"} if media == HTML else {"type": "object"}


def _event(kind: type[Struct]) -> dict[str, Any]:
    """
    Return what every event of a stream is like: OpenAPI before 3.2 has no other way to describe a stream.
    """
    chunk = {"contentMediaType": JSON, "contentSchema": {"anyOf": [_ref(kind), _ref(ErrorBody)]}}
    return {
        "type": "object",
        "description": "An event of the stream. Comments keep it alive while nothing happens.",
        "properties": {"data": {"type": "string", "anyOf": [{"const": "[DONE]"}, chunk]}},
        "required": ["data"],
    }


def _errors(operation: Operation) -> dict[str, Any]:
    """
    Return the answers that are errors, by status; one status has as many codes as there are errors with it.
    """
    behind = () if operation.public else _BEHIND_THE_DOOR
    by_status: dict[int, list[type[ClaudeProxyError]]] = {}
    for kind in dict.fromkeys((*_ANYWHERE, *behind, *operation.errors)):
        by_status.setdefault(kind.status, []).append(kind)
    told = {str(status): _error(status, by_status[status], operation.relayed) for status in sorted(by_status)}
    if operation.relayed:
        told["default"] = {"description": "Whatever else an upstream answers."}
    return told


def _error(status: int, kinds: Iterable[type[ClaudeProxyError]], relayed: bool) -> dict[str, Any]:
    codes = {kind.code: " ".join((kind.__doc__ or "").split()).replace("``", "`") for kind in kinds}
    later = ("Retry-After",)
    more: tuple[str, ...] = {401: ("WWW-Authenticate",), 409: later, 429: later, 503: later}.get(status, ())
    if relayed:
        more += ("X-Backend-Mode", "X-Backend-Attempts", "X-Upstream")
    schema = _ref(ErrorBody)
    if not relayed:
        narrowed = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
        schema = {"allOf": [schema, narrowed]}
    return {
        "description": "\n".join(f"- `{code}`: {what}" for code, what in codes.items()),
        "headers": _headers("X-Request-ID", *more),
        "content": {JSON: {"schema": schema}},
    }


def _headers(*names: str) -> Mapping[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
