"""
What each route takes and gives, for the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from msgspec import Struct

from claudeproxy import errors
from claudeproxy.errors import ClaudeProxyError
from claudeproxy.wire.openapi import answers

__all__ = ["CHAT_EXAMPLES", "EVENTS", "HEADERS", "HTML", "JSON", "OPERATIONS", "Header", "Operation", "Reply"]

JSON = "application/json"
HTML = "text/html"
EVENTS = "text/event-stream"

_CHAT_ERRORS: tuple[type[ClaudeProxyError], ...] = tuple(
    getattr(errors, name)
    for name in errors.__all__
    if name not in ("ClaudeProxyError", "MethodNotSupported", "UnknownURL")
)
"""A chat goes all the way, so whatever can fail can fail it."""


@frozen
class Header:
    """
    A header of a request or of an answer.
    """

    description: str
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "string"})


HEADERS = {
    "X-Request-ID": Header("The request's id: the client's own, or a UUID."),
    "X-Backend-Mode": Header(
        "Who served the request.", {"type": "string", "enum": ["claude-code", "openai-passthrough"]}
    ),
    "X-Backend-Attempts": Header(
        "How often a backend was asked, retries and all steps of a chain together.", {"type": "integer", "minimum": 1}
    ),
    "X-Upstream": Header("Passthrough only, where there are several upstreams: the one that served."),
    "X-Claude-Session-ID": Header("Claude Code only: the session, new or resumed.", {"type": "string"}),
    "X-Claude-Session-Created": Header(
        "Claude Code only: present when the session is new.", {"type": "string", "enum": ["true"]}
    ),
    "X-Claude-Ignored-Params": Header("Claude Code only: parameters without effect, comma-separated."),
    "X-Claude-Cost-USD": Header(
        "Claude Code only: what the turn costs, where that is known; a stream says it in its usage.", {"type": "number"}
    ),
    "Idempotent-Replayed": Header(
        "Present when the answer is that of an earlier request with the same key.", {"type": "string", "enum": ["true"]}
    ),
    "X-Upstream-Request-ID": Header("Passthrough only: the upstream's own request id."),
    "Retry-After": Header("Seconds after which a retry makes sense."),
    "WWW-Authenticate": Header("The scheme that is asked for.", {"type": "string", "enum": ["Bearer"]}),
}
"""Headers of answers."""

_SESSION = {"type": "string", "format": "uuid"}
_CHAT_HEADERS = {
    "X-Claude-Code": Header(
        "Chooses Claude Code, or with false the upstream. Without it the session, then the model decide.",
        {"type": "string", "enum": ["true", "1", "yes", "false", "0", "no"]},
    ),
    "X-Claude-Session-ID": Header("Chooses Claude Code and resumes this session, a version 4 UUID.", _SESSION),
    "X-Session-ID": Header("Another name for X-Claude-Session-ID.", _SESSION),
    "X-OpenAI-API-Key": Header("Replaces the server's upstream key for this request, if the server allows it."),
    "Idempotency-Key": Header(
        "Names the request, so that it is not done again when it is repeated: the repeat gets the first one's answer.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
    "X-Request-ID": Header(
        "Becomes the request's id.", {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"}
    ),
}

_RED_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
)

CHAT_EXAMPLES = {
    "claude": {
        "summary": "Claude Code",
        "value": {"model": "sonnet", "messages": [{"role": "user", "content": "Say hello."}]},
    },
    "stream": {
        "summary": "A stream that ends with its usage",
        "value": {
            "model": "haiku",
            "messages": [
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": [{"type": "text", "text": "Why is the sky blue?"}]},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "picture": {
        "summary": "A picture",
        "value": {
            "model": "sonnet",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": _RED_DOT}},
                        {"type": "text", "text": "Which colour is this?"},
                    ],
                }
            ],
        },
    },
    "upstream": {
        "summary": "The upstream, where one is configured",
        "value": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0.2},
    },
}


@frozen
class Reply:
    """
    An answer that is no error.
    """

    description: str
    media: Mapping[str, type[Struct] | None]
    """The type by media type; None where the body is just text."""
    headers: tuple[str, ...] = ()


@frozen(kw_only=True)
class Operation:
    """
    One method of one route.
    """

    method: str
    path: str
    name: str
    """Fit for a function's name in a generated client."""
    tag: str
    summary: str
    description: str
    replies: Mapping[int, Reply]
    errors: tuple[type[ClaudeProxyError], ...] = ()
    """Besides those that every route has."""
    public: bool = True
    """Whether it asks for no key."""
    relayed: bool = False
    """Whether answers, errors included, may be an upstream's own."""
    path_parameters: Mapping[str, Header] = field(factory=dict)
    headers: Mapping[str, Header] = field(factory=dict)
    body: str | None = None
    """The name of the request body's type."""


def _told(what: type[Struct], description: str, **more: Any) -> Mapping[int, Reply]:
    return {200: Reply(description, {JSON: what}, **more)}


OPERATIONS = (
    Operation(
        method="post",
        path="/v1/chat/completions",
        name="createChatCompletion",
        tag="Chat",
        summary="Answer a conversation",
        description="Served by Claude Code or by an upstream: the headers `X-Claude-Code` and `X-Claude-Session-ID` "
        "decide, else the model, for which there may be a chain of backends: one that fails before the first byte of "
        "its answer hands over to the next. To an upstream the body goes as it is, parameters that are unknown here "
        "included, and its answers, errors too, come back as they are.\n\n"
        "In Claude mode the answer names its session; with that id only the new messages need to be sent. An error "
        'after the first byte of a stream is an event `{"error": ...}` before `[DONE]`, and the body is not completed.',
        public=False,
        relayed=True,
        headers=_CHAT_HEADERS,
        body="ChatCompletionRequest",
        replies={
            200: Reply(
                "The answer; a stream of events if `stream` is true.",
                {JSON: answers.ChatCompletion, EVENTS: answers.ChatCompletionChunk},
                (
                    "X-Backend-Mode",
                    "X-Backend-Attempts",
                    "X-Upstream",
                    "X-Claude-Session-ID",
                    "X-Claude-Session-Created",
                    "X-Claude-Ignored-Params",
                    "X-Claude-Cost-USD",
                    "Idempotent-Replayed",
                    "X-Upstream-Request-ID",
                ),
            )
        },
        errors=_CHAT_ERRORS,
    ),
    Operation(
        method="get",
        path="/v1/models",
        name="listModels",
        tag="Models",
        summary="List the models",
        description="Claude's models, the names that stand for them, and the upstreams' own lists.",
        public=False,
        replies=_told(answers.ModelList, "The models."),
    ),
    Operation(
        method="get",
        path="/v1/models/{model}",
        name="retrieveModel",
        tag="Models",
        summary="Describe a model",
        description="Also a Claude model that is on no list.",
        public=False,
        path_parameters={"model": Header("The model's name.", {"type": "string", "minLength": 1})},
        replies=_told(answers.Model, "The model."),
        errors=(errors.ModelNotFound, errors.UnknownURL),
    ),
    Operation(
        method="get",
        path="/",
        name="getRoot",
        tag="Health",
        summary="Say what this is",
        description="Name, version and links.",
        replies=_told(answers.Root, "What this is."),
    ),
    Operation(
        method="get",
        path="/health",
        name="getHealth",
        tag="Health",
        summary="Say how everything is",
        description="No model, upstream or process is asked.",
        replies={
            200: Reply("Requests may come.", {JSON: answers.Health}),
            503: Reply("No request can be served now.", {JSON: answers.Health}),
        },
    ),
    Operation(
        method="get",
        path="/health/live",
        name="getLiveness",
        tag="Health",
        summary="Say that the daemon answers",
        description="What a supervisor asks before it starts a new one.",
        replies=_told(answers.Live, "The daemon answers."),
    ),
    Operation(
        method="get",
        path="/health/ready",
        name="getReadiness",
        tag="Health",
        summary="Say whether requests may come",
        description="What a load balancer asks.",
        replies={
            200: Reply("Requests may come.", {JSON: answers.Ready}),
            503: Reply("Requests should go elsewhere.", {JSON: answers.Ready}),
        },
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="getDocument",
        tag="Documentation",
        summary="Describe this API",
        description="This document.",
        replies={200: Reply("An OpenAPI document.", {JSON: None})},
    ),
    Operation(
        method="get",
        path="/docs",
        name="getDocumentation",
        tag="Documentation",
        summary="Show this API",
        description="A page that needs neither scripts nor anything from elsewhere.",
        replies={200: Reply("A page.", {HTML: None})},
    ),
)
