"""
The table of settings: the fields of the sections are its rows.

A field says everything about its setting: the name of the environment variable, how it is written, its default and what
it does. The option is that name in lower case with dashes, the TOML key is it in lower case. There is no other list.

Spans of time are written in milliseconds and held in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from attrs import frozen

from claudeproxy.config.claude import ClaudeConfig
from claudeproxy.config.endpoints import Endpoint, Endpoints
from claudeproxy.config.images import ImagesConfig
from claudeproxy.config.kinds import MODEL_NAME, Boolean, Choice, Integer, Key, Milliseconds, Pattern, Secret
from claudeproxy.config.lists import Keys, ModelMap, Origins, Proxies
from claudeproxy.config.places import BaseURL, Host, Path
from claudeproxy.config.setting import (
    Section,
    Setting,
    request_timeout,
    request_total_timeout,
    section_settings,
    setting,
)
from claudeproxy.core.proxies import Proxy
from claudeproxy.core.routing import OPENAI, ModelNames, UpstreamRoute

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "AuthConfig",
    "ClaudeConfig",
    "ImagesConfig",
    "LimitsConfig",
    "LogConfig",
    "RoutingConfig",
    "ServerConfig",
    "SessionsConfig",
    "UpstreamConfig",
]


@frozen
class ServerConfig:
    """
    Where and how the daemon listens.
    """

    title: ClassVar[str] = "Server"

    host: str = setting("HOST", Host(), "127.0.0.1", "Address to listen on; beyond loopback only with a key.")
    port: int = setting("PORT", Integer(0, 65535), 3456, "Port to listen on; 0 takes any free one.")
    listen: tuple[Endpoint, ...] = setting(
        "LISTEN", Endpoints(), (), "Endpoints to listen at, in the place of HOST and PORT; for TLS and unix sockets."
    )
    max_body_bytes_in_flight: int = setting(
        "MAX_BODY_BYTES_IN_FLIGHT",
        Integer(0),
        1024 * 1024 * 1024,
        "Bytes that the bodies of all requests under way may have together; 0 is no limit.",
    )
    max_body_bytes_per_address: int = setting(
        "MAX_BODY_BYTES_PER_ADDRESS",
        Integer(0),
        256 * 1024 * 1024,
        "Bytes that the bodies of one address's requests under way may have together; 0 is no limit.",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", Integer(1), 32 * 1024 * 1024, "Largest request body; a larger one is answered with 413."
    )
    client_header_timeout: float = setting(
        "CLIENT_HEADER_TIMEOUT_MS", Milliseconds(1), 30.0, "How long a client may take for the head of a request."
    )
    client_body_timeout: float = setting(
        "CLIENT_BODY_TIMEOUT_MS", Milliseconds(1), 30.0, "How long a client may take for each 16 KiB of a body."
    )
    max_messages: int = setting(
        "MAX_MESSAGES", Integer(0), 0, "Messages of one conversation that Claude Code is given; 0 is no limit."
    )
    max_characters: int = setting(
        "MAX_CHARACTERS", Integer(0), 0, "Characters of text in one conversation for Claude Code; 0 is no limit."
    )
    shutdown_timeout: float = setting(
        "SHUTDOWN_TIMEOUT_MS", Milliseconds(0), 10.0, "How long a stop waits for the requests in flight."
    )
    keepalive_interval: float = setting(
        "KEEPALIVE_INTERVAL_MS", Milliseconds(10), 15.0, "Silence on a stream after which a comment keeps it alive."
    )
    idempotency_ttl: float = setting(
        "IDEMPOTENCY_TTL_MS", Milliseconds(1), 86400.0, "How long an answer is kept for its `Idempotency-Key`."
    )
    idempotency_max_bytes: int = setting(
        "IDEMPOTENCY_MAX_BYTES",
        Integer(0),
        64 * 1024 * 1024,
        "Memory for these answers; whoever has most makes room. With 0 the header has no effect.",
    )
    cors_allowed_origins: tuple[str, ...] = setting(
        "CORS_ALLOWED_ORIGINS", Origins(), (), "Web origins whose scripts may read the answers.", live=True
    )
    trusted_proxies: tuple[Proxy, ...] = setting(
        "TRUSTED_PROXIES", Proxies(), (), "Reverse proxies whose `X-Forwarded-For` is believed."
    )
    state_dir: str = setting(
        "STATE_DIR",
        Path(),
        "",
        "Directory for what the daemon keeps, its sessions; one daemon's alone.",
        "`$XDG_STATE_HOME/claudeproxy`, else `~/.local/state/claudeproxy`",
    )
    config_file: str | None = setting(
        "CONFIG", Path(), None, "Configuration file (TOML); this one setting cannot stand in the file itself."
    )

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """
        Everything to listen at.
        """
        return self.listen or (Endpoint.at(self.host, self.port),)


@frozen
class AuthConfig:
    """
    Who may come in.
    """

    title: ClassVar[str] = "Access"

    api_key: Secret | None = setting("API_KEY", Key(), None, "A key that clients must present.", live=True)
    api_keys: tuple[Secret, ...] = setting(
        "API_KEYS", Keys(), (), "More keys; API_KEY, if set, is one of them.", live=True
    )
    required: bool = setting(
        "REQUIRE_AUTH",
        Boolean(),
        False,
        "Do not start without a key; where there is one, it is always asked for.",
        live=True,
    )


@frozen
class SessionsConfig:
    """
    How long conversations are kept.
    """

    title: ClassVar[str] = "Sessions"

    ttl: float = setting("SESSION_TTL_MS", Milliseconds(1), 3600.0, "Inactivity after which a session ends.")
    max_age: float = setting("MAX_SESSION_AGE_MS", Milliseconds(1), 86400.0, "Age at which a session ends.")
    busy_timeout: float = setting(
        "SESSION_BUSY_TIMEOUT_MS", Milliseconds(0), 5.0, "How long a request waits for its session's running turn."
    )
    max_bytes: int = setting(
        "MAX_SESSION_BYTES",
        Integer(1),
        64 * 1024 * 1024,
        "Memory for all histories; whoever has most makes room.",
    )


@frozen
class UpstreamConfig:
    """
    An OpenAI-compatible API that requests are passed to: ``openai``, or one of the file's tables.
    """

    title: ClassVar[str] = "OpenAI passthrough"

    enabled: bool = setting(
        "OPENAI_PASSTHROUGH_ENABLED", Boolean(), True, "Whether there is a passthrough, apart from `[upstreams]`."
    )
    api_key: Secret | None = setting("OPENAI_API_KEY", Key(), None, "The upstream's key.")
    base_url: str = setting(
        "OPENAI_BASE_URL", BaseURL(), "https://api.openai.com/v1", "The upstream: any OpenAI-compatible API."
    )
    allow_client_key: bool = setting(
        "ALLOW_CLIENT_OPENAI_KEY", Boolean(), True, "Whether clients may bring their own key in `X-OpenAI-API-Key`."
    )
    connect_timeout: float = setting(
        "UPSTREAM_CONNECT_TIMEOUT_MS", Milliseconds(1), 10.0, "How long connecting to the upstream may take."
    )
    first_byte_timeout: float = setting(
        "UPSTREAM_FIRST_BYTE_TIMEOUT_MS", Milliseconds(1), 300.0, "How long the upstream may take to begin its answer."
    )
    silence_timeout: float = setting(
        "UPSTREAM_SILENCE_TIMEOUT_MS", Milliseconds(1), 120.0, "Longest silence within the upstream's answer."
    )
    request_timeout: float = request_timeout()
    request_total_timeout: float = request_total_timeout()
    retries: int = setting(
        "UPSTREAM_RETRIES", Integer(0, 10), 1, "Further tries at the same upstream, before the first byte of an answer."
    )
    retry_wait: float = setting(
        "UPSTREAM_RETRY_WAIT_MS",
        Milliseconds(0),
        5.0,
        "Longest wait before a further try; when the upstream asks for a longer one there is none.",
    )
    breaker_failures: int = setting(
        "UPSTREAM_BREAKER_FAILURES",
        Integer(0),
        5,
        "Failures in a row that open an upstream's breaker; 0 is no breaker.",
    )
    breaker_pause: float = setting(
        "UPSTREAM_BREAKER_PAUSE_MS", Milliseconds(1), 10.0, "How long an upstream is not asked when its breaker opens."
    )
    base_url_given: bool = False
    """Whether the operator named the upstream: one of theirs may need no key."""
    name: str = OPENAI
    """Of one of the file's tables, the table's."""
    models: tuple[str, ...] = ()
    """The names and wildcards of the models that go there before anywhere else."""

    @property
    def configured(self) -> bool:
        """
        Whether requests can go there without a key of the client's.
        """
        return self.enabled and (self.api_key is not None or self.base_url_given)

    @property
    def route(self) -> UpstreamRoute:
        """
        What routing knows of it.
        """
        return UpstreamRoute(self.name, ModelNames(self.models), self.enabled, self.configured)


@frozen
class RoutingConfig:
    """
    Which backend and model serve a request.
    """

    title: ClassVar[str] = "Models and routing"

    ignore_proxy_variables: bool = setting(
        "UPSTREAM_IGNORE_PROXY",
        Boolean(),
        False,
        "Whether upstreams are connected to directly although `HTTPS_PROXY` or its like names a proxy for them.",
    )
    route_claude_models: bool = setting(
        "ROUTE_CLAUDE_MODELS", Boolean(), True, "Whether a Claude model's name alone routes a request to Claude Code."
    )
    default_model: str = setting(
        "DEFAULT_MODEL",
        Pattern(MODEL_NAME, "a model's name"),
        "sonnet",
        "The model that Claude Code starts with.",
    )
    model_map: Mapping[str, str] = setting(
        "MODEL_MAP",
        ModelMap(),
        MappingProxyType({}),
        "Names that stand for Claude models, before the built-in ones; `*` matches anything.",
        live=True,
    )


@frozen
class LimitsConfig:
    """
    How much one client may ask for.
    """

    title: ClassVar[str] = "Limits"

    rate_limit_per_ip: int = setting(
        "RATE_LIMIT_PER_IP", Integer(0), 60, "Requests of one address in a window; 0 is no limit.", live=True
    )
    rate_limit_per_session: int = setting(
        "RATE_LIMIT_PER_SESSION", Integer(0), 10, "Requests of one session in a window; 0 is no limit.", live=True
    )
    rate_limit_per_key: int = setting(
        "RATE_LIMIT_PER_KEY", Integer(0), 0, "Requests of one key in a window; 0 is no limit.", live=True
    )
    rate_limit_window: float = setting(
        "RATE_LIMIT_WINDOW_MS",
        Milliseconds(1000),
        60.0,
        "Length of the sliding window, rounded up to whole seconds.",
        live=True,
    )
    max_concurrent_per_key: int = setting(
        "MAX_CONCURRENT_PER_KEY",
        Integer(0),
        5,
        "Requests of one key, or of all clients where there is no key, at the same time; 0 is no limit.",
        live=True,
    )


@frozen
class LogConfig:
    """
    What is logged and how.
    """

    title: ClassVar[str] = "Logging"

    level: str = setting(
        "LOG_LEVEL",
        Choice(("fatal", "error", "warn", "info", "debug", "trace", "silent")),
        "info",
        "The least important events that are logged.",
        live=True,
    )
    format: str = setting(
        "LOG_FORMAT", Choice(("json", "pretty")), "json", "One JSON object a line, or text for people."
    )


SECTIONS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "server": ServerConfig,
        "auth": AuthConfig,
        "claude": ClaudeConfig,
        "sessions": SessionsConfig,
        "images": ImagesConfig,
        "upstream": UpstreamConfig,
        "routing": RoutingConfig,
        "limits": LimitsConfig,
        "log": LogConfig,
    }
)


SETTINGS: Mapping[str, Setting[Any]] = MappingProxyType(
    {row.name: row for section in SECTIONS.values() for _, row in section_settings(section)}
)
