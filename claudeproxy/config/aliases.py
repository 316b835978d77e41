"""
Names under which other gateways know a setting of ours, so that their environment serves as it is.

What has no counterpart here is not among them: nothing is read that then has no effect.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from claudeproxy.config.kinds import Integer, Kind
from claudeproxy.config.setting import Setting
from claudeproxy.config.settings import SETTINGS

__all__ = ["ALIASES", "Alias"]


@frozen
class Seconds(Kind[float]):
    """
    A span of time in whole seconds.
    """

    allowed = "a whole number of seconds, at least 1"

    def parse(self, text: str) -> float:
        return float(Integer(1, 10**9).parse(text))


@frozen
class Alias:
    """
    An environment variable of another gateway's.
    """

    name: str
    stands_for: str
    """Our own name."""
    difference: str = ""
    """What an operator must know who comes from there."""
    _kind: Kind[Any] | None = None

    @property
    def setting(self) -> Setting[Any]:
        """
        What it sets.
        """
        return SETTINGS[self.stands_for]

    @property
    def kind(self) -> Kind[Any]:
        """
        How it is written.
        """
        return self._kind or self.setting.kind


ALIASES = (
    Alias("API_PORT", "PORT"),
    Alias("CLAUDE_BINARY_PATH", "CLAUDE_PATH"),
    Alias("CLAUDE_TIMEOUT", "REQUEST_TIMEOUT_MS", "In seconds.", Seconds()),
    Alias("CORS_ORIGIN", "CORS_ALLOWED_ORIGINS", "`*` is not allowed."),
    Alias("CORS_ORIGINS", "CORS_ALLOWED_ORIGINS", "`*` is not allowed."),
    Alias("OPENAI_API_KEY_REQUIRED", "REQUIRE_AUTH"),
    Alias(
        "RATE_LIMIT_REQUESTS_PER_MINUTE",
        "RATE_LIMIT_PER_IP",
        "Counted by address, not by key, and in the window of `RATE_LIMIT_WINDOW_MS`, which is a minute by default.",
    ),
)
