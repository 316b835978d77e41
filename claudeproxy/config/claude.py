"""
The settings of Claude Code, which the table of settings has among its sections.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from claudeproxy.config.kinds import Boolean, Choice, Integer, Key, Milliseconds, Secret
from claudeproxy.config.lists import Names
from claudeproxy.config.places import BaseURL, Path
from claudeproxy.config.setting import request_timeout, request_total_timeout, setting

__all__ = ["ClaudeConfig"]

_CLOUDS = ("ANTHROPIC_", "AWS_", "CLAUDE_CODE_USE_", "GOOGLE_")
"""How the names begin of variables with which the CLI logs in elsewhere than at Anthropic."""


@frozen
class ClaudeConfig:
    """
    The CLI, its credentials and its processes.
    """

    title: ClassVar[str] = "Claude Code"

    api_key: Secret | None = setting("ANTHROPIC_API_KEY", Key(), None, "API key that Claude Code works with.")
    auth_token: Secret | None = setting(
        "ANTHROPIC_AUTH_TOKEN", Key(), None, "Bearer token that Claude Code works with, for gateways."
    )
    oauth_token: Secret | None = setting(
        "CLAUDE_CODE_OAUTH_TOKEN", Key(), None, "Token of a subscription, as `claude setup-token` prints it."
    )
    login: bool = setting(
        "CLAUDE_LOGIN", Boolean(), False, "Use the CLI's own login and its own configuration directory."
    )
    base_url: str | None = setting("ANTHROPIC_BASE_URL", BaseURL(), None, "Where Claude Code finds Anthropic's API.")
    path: str = setting(
        "CLAUDE_PATH", Path(bare_name=True), "claude", "The CLI; the default also finds the one of the extra `cli`."
    )
    request_timeout: float = request_timeout()
    request_total_timeout: float = request_total_timeout()
    start_timeout: float = setting(
        "CLAUDE_START_TIMEOUT_MS", Milliseconds(1), 30.0, "How long a CLI process may take until it first answers."
    )
    warm_processes: int = setting(
        "WARM_PROCESSES", Integer(0, 1000), 2, "Booted CLI processes that wait for a conversation."
    )
    max_processes: int = setting(
        "MAX_CONCURRENT_PROCESSES", Integer(1, 1000), 10, "CLI processes in all: working, waiting and idle ones."
    )
    queue_timeout: float = setting(
        "POOL_QUEUE_TIMEOUT_MS", Milliseconds(0), 5.0, "How long a request waits for a CLI process before its 429."
    )
    max_process_age: float = setting(
        "MAX_PROCESS_AGE_MS", Milliseconds(1000), 3600.0, "Age at which a waiting CLI process is replaced."
    )
    idle_process_ttl: float = setting(
        "IDLE_PROCESS_TTL_MS", Milliseconds(0), 300.0, "How long a CLI process waits for its conversation's next turn."
    )
    reasoning: str = setting(
        "REASONING",
        Choice(("content", "think-tags", "off")),
        "content",
        "Where answers have what the model thought: in fields of its own, between tags in the text, or nowhere.",
        live=True,
    )
    sampling: str = setting(
        "SAMPLING",
        Choice(("ignore", "honour")),
        "ignore",
        "Whether `temperature` and `top_p` reach the model, which does not think in such a turn.",
    )
    max_output_bytes: int = setting(
        "MAX_OUTPUT_BYTES", Integer(1), 1024 * 1024, "Longest answer of one turn, reasoning included."
    )
    max_stderr_bytes: int = setting(
        "MAX_STDERR_BYTES", Integer(0), 1024 * 1024, "How much of a CLI process's stderr is kept."
    )
    max_line_bytes: int = setting(
        "MAX_LINE_BYTES", Integer(1024), 16 * 1024 * 1024, "Longest line that a CLI process may print."
    )
    env_passthrough: tuple[str, ...] = setting(
        "CLAUDE_ENV_PASSTHROUGH", Names(), (), "Further variables of the daemon's environment that the CLI gets to see."
    )

    @property
    def has_credentials(self) -> bool:
        """
        Whether the CLI can be logged in: by a key, by its own login, or by another cloud's variables.
        """
        keys = (self.api_key, self.auth_token, self.oauth_token)
        handed_on = any(name.startswith(_CLOUDS) for name in self.env_passthrough)
        return self.login or handed_on or any(key is not None for key in keys)
