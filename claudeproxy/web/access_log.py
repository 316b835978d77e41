"""
The access log: one line per request, when it is over.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.logger import ILogObserver, LogLevel, globalLogPublisher

from claudeproxy.ops.logs import Threshold
from claudeproxy.ops.redaction import redact
from claudeproxy.web.request import ProxyRequest

__all__ = ["AccessLog"]

_LEFT_EARLY = 499
"""What is logged, after nginx's custom, for a client that left before its answer had begun."""

_LONGEST = 200
"""Characters of a text of the client's that is logged."""

_TOO_LONG = "[too long]"


class AccessLog:
    """
    Called with each request when it is over.
    """

    def __init__(self, threshold: Threshold, publisher: ILogObserver = globalLogPublisher) -> None:
        """
        :param publisher: where events go.
        """
        self._publish = publisher
        self._threshold = threshold

    def __call__(self, request: ProxyRequest) -> None:
        if not self._threshold.is_logged("info"):
            return
        now = request.site.seconds()
        self._publish(
            {
                "log_level": LogLevel.info,
                "log_namespace": "claudeproxy.access",
                "log_format": "{access[method]} {access[path]} {access[status]}",
                "log_time": now,
                "access": _fields(request, now),
            }
        )


def _fields(request: ProxyRequest, now: float) -> dict[str, Any]:
    """
    Return what is said about a request; what is not known is left out.
    """
    began, answered, usage = request.began, request.answered, request.usage
    request_id = request.request_id.decode("ascii")
    fields: dict[str, Any] = {
        "request_id": request_id if request.header(b"X-Request-Id") is None else _told(request_id),
        "method": request.method.decode("ascii"),
        "path": _path(request.uri.partition(b"?")[0]),
        "status": _LEFT_EARLY if request.gone and answered is None else request.code,
        "bytes": request.sentLength,
    }
    if request.address:
        fields["client"] = request.address
    if request.key.name:
        fields["key"] = request.key.name
    if request.backend:
        fields["backend"] = str(request.backend)
    if request.upstream:
        fields["upstream"] = request.upstream
    if request.attempts > 1:
        fields["attempts"] = request.attempts
    if request.replayed:
        fields["replayed"] = True
    if request.model:
        fields["model"] = _told(request.model)
    if request.error:
        fields["error"] = request.error
    if usage is not None:
        fields["input_tokens"] = usage.prompt_tokens
        fields["output_tokens"] = usage.output_tokens
        if usage.cost_usd is not None:
            fields["cost_usd"] = round(usage.cost_usd, 8)
    if began is not None:
        if answered is not None:
            fields["first_byte_ms"] = _milliseconds(answered - began)
        fields["total_ms"] = _milliseconds(now - began)
    if request.gone and not request.error:
        fields["client_left"] = True
    return fields


def _milliseconds(seconds: float) -> float:
    """
    Return a span of time as it is logged; none is negative, also when the clock was set back in it.
    """
    return max(0.0, round(seconds * 1000, 1))


def _told(text: str) -> str:
    """
    Return what a client wrote, as it may be logged. A long text is not cut, for the beginning of a secret is one.
    """
    return _redacted(text) if len(text) <= _LONGEST else _TOO_LONG


@lru_cache(1024)
def _redacted(text: str) -> str:
    return redact(text).encode("utf-8", "replace").decode("utf-8")


def _path(path: bytes) -> str:
    """
    Return the path of a URL, as it may be logged: a secret can stand in it, but it is no path of a file.
    """
    return _redacted_path(path) if len(path) <= 5 * _LONGEST else _TOO_LONG


@lru_cache(1024)
def _redacted_path(path: bytes) -> str:
    return "/".join(map(_told, path.decode("latin-1").split("/")))
