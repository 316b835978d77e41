"""
The error tree: everything that may become an answer to a client.

Each class stands for one row of the error table in ``docs/reference/errors.md``. An instance carries all that an
answer needs (status, type, code, param, ``Retry-After``); :mod:`claudeproxy.wire.errorbody` renders it in a dialect's
form, and only :mod:`claudeproxy.web.failures` decides when.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AnswerNotJSON",
    "BackendAuthFailed",
    "BackendError",
    "BackendUnavailable",
    "CapacityExceeded",
    "ClaudeProxyError",
    "ClientKeyNotAllowed",
    "ConcurrencyLimitExceeded",
    "ContextLengthExceeded",
    "HeadersTooLarge",
    "IdempotencyKeyInUse",
    "IdempotencyKeyReused",
    "InternalError",
    "InvalidAPIKey",
    "InvalidHeaderValue",
    "InvalidImageURL",
    "InvalidJSON",
    "InvalidSessionID",
    "InvalidValue",
    "MalformedRequest",
    "MethodNotSupported",
    "MissingAPIKey",
    "MissingParameter",
    "ModelNotFound",
    "NoFunctionCalled",
    "NotTakenHere",
    "OriginNotAllowed",
    "OutputLimitExceeded",
    "Overloaded",
    "PassthroughDisabled",
    "PassthroughNotConfigured",
    "RateLimited",
    "RequestRefused",
    "RequestTimeout",
    "RequestTooLarge",
    "ServerShuttingDown",
    "SessionBusy",
    "SessionNotFound",
    "URITooLong",
    "UnknownURL",
    "UnsupportedMediaType",
    "UnsupportedParameter",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "UsageLimitReached",
]


class ClaudeProxyError(Exception):
    """
    A failure with a public face.

    :param message: what went wrong and what is allowed, fit to be shown to the client.
    :param param: the request parameter at fault, for example ``messages[0].role``.
    :param retry_after: seconds after which a retry makes sense.
    :param headers: further response headers, for example ``Allow``.
    :param permanent: a retry is of no use in any time that a client would wait, or until the operator has mended it.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    permanent: bool = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        permanent: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.headers = headers
        if permanent is not None:
            self.permanent = permanent


class InternalError(ClaudeProxyError):
    """An unexpected exception; its text never leaves the daemon."""


# -- The request's fault ------------------------------------------------------


class _BadRequest(ClaudeProxyError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class MalformedRequest(_BadRequest):
    """The bytes are not an HTTP request that we can read."""

    code = "malformed_request"


class InvalidJSON(_BadRequest):
    """The body is not JSON."""

    code = "invalid_json"


class InvalidValue(_BadRequest):
    """A parameter has a wrong type or is out of range."""

    code = "invalid_value"


class NotTakenHere(InvalidValue):
    """A value that this backend does not take, and another one may."""


class InvalidImageURL(_BadRequest):
    """A picture cannot be fetched from where the request says that it is."""

    code = "invalid_image_url"


class MissingParameter(_BadRequest):
    """A required parameter is absent."""

    code = "missing_required_parameter"


class UnsupportedParameter(_BadRequest):
    """A parameter that would change the meaning cannot be honoured."""

    code = "unsupported_parameter"


class InvalidHeaderValue(_BadRequest):
    """A routing header has a value that means nothing."""

    code = "invalid_header_value"


class InvalidSessionID(_BadRequest):
    """The session id is not a version 4 UUID."""

    code = "invalid_session_id"


class IdempotencyKeyReused(_BadRequest):
    """The ``Idempotency-Key`` belongs to another request."""

    code = "idempotency_key_reused"


class ContextLengthExceeded(_BadRequest):
    """The conversation is longer than the model's context."""

    code = "context_length_exceeded"


class RequestRefused(_BadRequest):
    """The model's API does not take the request as it is."""

    code = "request_refused"


class MissingAPIKey(_BadRequest):
    """No key was presented where one is needed."""

    status = 401
    code = "missing_api_key"


class InvalidAPIKey(_BadRequest):
    """The presented key is not one of ours."""

    status = 401
    code = "invalid_api_key"


class ClientKeyNotAllowed(ClaudeProxyError):
    """``X-OpenAI-API-Key`` was sent although clients may not bring keys."""

    status = 403
    type = "permission_error"
    code = "client_key_not_allowed"


class OriginNotAllowed(ClaudeProxyError):
    """A preflight came from an origin that is not on the list."""

    status = 403
    type = "permission_error"
    code = "origin_not_allowed"


class ModelNotFound(_BadRequest):
    """No backend knows the model."""

    status = 404
    code = "model_not_found"


class SessionNotFound(_BadRequest):
    """Unknown, expired or another key's session: deliberately indistinguishable."""

    status = 404
    code = "session_not_found"


class UnknownURL(_BadRequest):
    """No route has this path."""

    status = 404
    code = "unknown_url"


class MethodNotSupported(_BadRequest):
    """The path exists, the method does not; ``Allow`` says which do."""

    status = 405
    code = "method_not_supported"


class RequestTimeout(_BadRequest):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"


class SessionBusy(_BadRequest):
    """Another turn of the session runs and did not end in time."""

    status = 409
    code = "session_busy"


class IdempotencyKeyInUse(_BadRequest):
    """The request that the ``Idempotency-Key`` belongs to is still running."""

    status = 409
    code = "idempotency_key_in_use"


class RequestTooLarge(_BadRequest):
    """The body is larger than ``MAX_BODY_BYTES``."""

    status = 413
    code = "request_too_large"


class URITooLong(_BadRequest):
    """The request line is longer than the server reads."""

    status = 414
    code = "uri_too_long"


class UnsupportedMediaType(_BadRequest):
    """The body is declared to be something other than JSON."""

    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(_BadRequest):
    """The request's header lines are longer or more than the server reads."""

    status = 431
    code = "request_header_fields_too_large"


# -- Limits -------------------------------------------------------------------


class _TooMany(ClaudeProxyError):
    status = 429
    type = "rate_limit_error"


class CapacityExceeded(_TooMany):
    """No place for a CLI process came free within the queue's time."""

    code = "capacity_exceeded"


class ConcurrencyLimitExceeded(_TooMany):
    """The key has too many requests running."""

    code = "concurrency_limit_exceeded"


class RateLimited(_TooMany):
    """A rate limit, ours or that of the API behind the backend, is used up."""

    code = "rate_limit_exceeded"


class UsageLimitReached(_TooMany):
    """The account's own usage limit, as the CLI reports it."""

    code = "usage_limit_reached"


# -- The backend's fault ------------------------------------------------------


class BackendError(ClaudeProxyError):
    """The backend failed in a way that has no better name."""

    status = 502
    code = "backend_error"


class AnswerNotJSON(ClaudeProxyError):
    """The model's answer is not the JSON object that the request asks for."""

    status = 502
    code = "answer_not_json"


class NoFunctionCalled(ClaudeProxyError):
    """The model's answer has no call, though the request leaves it no choice."""

    status = 502
    code = "no_function_called"


class BackendAuthFailed(ClaudeProxyError):
    """The backend's own credentials were refused."""

    status = 502
    code = "backend_auth_failed"


class OutputLimitExceeded(ClaudeProxyError):
    """The answer, or one line of the CLI's output, went over its cap."""

    status = 502
    code = "output_limit_exceeded"


class UpstreamUnreachable(ClaudeProxyError):
    """No connection to the upstream, or it broke."""

    status = 502
    code = "connection_error"


class BackendUnavailable(ClaudeProxyError):
    """The backend cannot serve now: no CLI, or it does not start."""

    status = 503
    code = "backend_unavailable"


class PassthroughDisabled(ClaudeProxyError):
    """``OPENAI_PASSTHROUGH_ENABLED`` is false."""

    status = 503
    code = "passthrough_disabled"
    permanent = True


class PassthroughNotConfigured(ClaudeProxyError):
    """There is no upstream that could serve the request."""

    status = 503
    code = "passthrough_not_configured"
    permanent = True


class Overloaded(ClaudeProxyError):
    """The API behind the backend is overloaded (its status 529)."""

    status = 503
    code = "overloaded"


class ServerShuttingDown(ClaudeProxyError):
    """The daemon is draining."""

    status = 503
    code = "server_shutting_down"


class UpstreamTimeout(ClaudeProxyError):
    """A timer of the request ran out."""

    status = 504
    code = "timeout"
