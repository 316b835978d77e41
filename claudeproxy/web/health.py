"""
What the daemon says about itself, to anyone: cheap answers, no model is ever asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from attrs import frozen

from claudeproxy import __version__
from claudeproxy.config import ClaudeConfig
from claudeproxy.core.health import UsageLimit
from claudeproxy.core.routing import OPENAI
from claudeproxy.interfaces import IChatBackend, IReadiness, IRelay
from claudeproxy.web.answers import json_answer
from claudeproxy.web.request import ProxyRequest

__all__ = ["HealthRoute"]

_encode = msgspec.json.Encoder().encode


@frozen
class HealthRoute:
    """
    The root and the health checks.
    """

    _backend: IChatBackend
    _relays: Mapping[str, IRelay]
    _claude: ClaudeConfig
    _readiness: Sequence[IReadiness]

    async def root(self, request: ProxyRequest) -> bytes:
        """
        Say what this is.
        """
        body = {
            "name": "claudeproxy",
            "version": __version__,
            "links": {
                "chat_completions": "/v1/chat/completions",
                "models": "/v1/models",
                "health": "/health",
                "docs": "/docs",
                "openapi": "/openapi.json",
            },
        }
        return json_answer(request, _encode(body))

    async def health(self, request: ProxyRequest) -> bytes:
        """
        Say how everything is.
        """
        claude = self._backend.health()
        upstreams = {name: relay.health() for name, relay in self._relays.items()}
        checks: dict[str, Any] = {
            "claude_cli": claude.status,
            "anthropic_key": "ok" if self._claude.has_credentials else "missing",
            "openai_passthrough": upstreams[OPENAI].status,
            "upstreams": {
                name: {"status": upstream.status, "breaker": upstream.breaker, "failures": upstream.failures}
                for name, upstream in upstreams.items()
            },
            "capacity": {
                "active": claude.active,
                "max": claude.max,
                "queued": claude.queued,
                "warm": claude.warm,
                "live": claude.live,
                "parked": claude.parked,
            },
            "usage_limits": [_limit(limit) for limit in claude.usage_limits],
        }
        reasons = self._unready_reasons()
        body = {
            "status": "unavailable" if reasons else "ready",
            "version": __version__,
            "claude_version": claude.version,
            "checks": checks,
            "reasons": reasons,
        }
        return json_answer(request, _encode(body), 503 if reasons else 200)

    async def live(self, request: ProxyRequest) -> bytes:
        """
        Say that the daemon answers at all: what a supervisor asks before it starts a new one.
        """
        return json_answer(request, _encode({"status": "alive"}))

    async def ready(self, request: ProxyRequest) -> bytes:
        """
        Say whether requests may come: what a load balancer asks.
        """
        reasons = self._unready_reasons()
        body = {"status": "unavailable" if reasons else "ready", "reasons": reasons}
        return json_answer(request, _encode(body), 503 if reasons else 200)

    def _unready_reasons(self) -> list[str]:
        """
        Return why requests should go elsewhere: something says so, or there is no backend that could serve one.
        """
        reasons = [reason for source in self._readiness for reason in source.unready_reasons()]
        has_claude = self._backend.health().status == "ok" and self._claude.has_credentials
        upstreams = {name: relay.health().status for name, relay in self._relays.items()}
        if not has_claude and "ok" not in upstreams.values():
            why = "it has no credentials" if not self._claude.has_credentials else self._backend.health().status
            reasons.append(f"no backend can serve: Claude Code ({why}), passthrough ({upstreams[OPENAI]})")
        return reasons


def _limit(limit: UsageLimit) -> dict[str, Any]:
    resets_at = None if limit.resets_at is None else datetime.fromtimestamp(limit.resets_at, UTC)
    return {
        "type": limit.kind or None,
        "status": limit.status,
        "utilization": limit.utilization,
        "resets_at": resets_at,
    }
