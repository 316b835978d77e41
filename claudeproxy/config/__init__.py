"""
The configuration: one table of settings, four sources, one frozen result.

- :mod:`claudeproxy.config.settings` is the table; to add a setting, add a field there.
- :mod:`claudeproxy.config.setting` is what one row of it is.
- :mod:`claudeproxy.config.aliases` are the names that other gateways have for settings.
- :mod:`claudeproxy.config.kinds` has the types of values and how they are written.
- :mod:`claudeproxy.config.sources` reads options, environment and file.
- :mod:`claudeproxy.config.changes` compares a running configuration with one that was read later.
- :mod:`claudeproxy.config.tables` describes and reads the tables that only a file can have.
- :mod:`claudeproxy.config.document` writes the reference, the sample file and what ``--print-config`` prints.
"""

from claudeproxy.config.changes import Change, changes, renewed
from claudeproxy.config.endpoints import Endpoint
from claudeproxy.config.kinds import Secret
from claudeproxy.config.reading import ConfigError
from claudeproxy.config.setting import Setting
from claudeproxy.config.settings import (
    SETTINGS,
    AuthConfig,
    ClaudeConfig,
    ImagesConfig,
    LimitsConfig,
    LogConfig,
    RoutingConfig,
    ServerConfig,
    SessionsConfig,
    UpstreamConfig,
)
from claudeproxy.config.sources import Config, Reading, load

__all__ = [
    "SETTINGS",
    "AuthConfig",
    "Change",
    "ClaudeConfig",
    "Config",
    "ConfigError",
    "Endpoint",
    "ImagesConfig",
    "LimitsConfig",
    "LogConfig",
    "Reading",
    "RoutingConfig",
    "Secret",
    "ServerConfig",
    "SessionsConfig",
    "Setting",
    "UpstreamConfig",
    "changes",
    "load",
    "renewed",
]
