"""
From options, environment and file to a :class:`Config`, or one line that says what is wrong.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from claudeproxy.config.aliases import ALIASES
from claudeproxy.config.kinds import Kind
from claudeproxy.config.reading import ConfigError, read_text
from claudeproxy.config.setting import Setting, section_settings
from claudeproxy.config.settings import (
    SECTIONS,
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
from claudeproxy.config.tables import TABLES, read_tables
from claudeproxy.core.routing import Fallback

__all__ = ["Config", "Reading", "check_reach", "load"]

DEFAULT = "default"
"""The origin of a value that nobody set."""


@frozen
class Reading:
    """
    One setting's value and where it came from.
    """

    setting: Setting[Any]
    value: Any
    origin: str = DEFAULT
    """For example ``environment PORT``, ``option --port`` or ``/etc/claudeproxy.toml: port``."""

    @property
    def given(self) -> bool:
        """
        Whether the operator set it.
        """
        return self.origin != DEFAULT


@frozen
class Config:
    """
    The whole configuration. Collaborators are given the sections they need, never all of it.
    """

    server: ServerConfig = field(factory=ServerConfig)
    auth: AuthConfig = field(factory=AuthConfig)
    claude: ClaudeConfig = field(factory=ClaudeConfig)
    sessions: SessionsConfig = field(factory=SessionsConfig)
    images: ImagesConfig = field(factory=ImagesConfig)
    upstream: UpstreamConfig = field(factory=UpstreamConfig)
    routing: RoutingConfig = field(factory=RoutingConfig)
    limits: LimitsConfig = field(factory=LimitsConfig)
    log: LogConfig = field(factory=LogConfig)
    upstreams: tuple[UpstreamConfig, ...] = ()
    """Those of the file's tables, in its order; ``upstream`` is not among them and comes after them."""
    fallbacks: tuple[Fallback, ...] = ()
    readings: Mapping[str, Reading] = field(factory=dict, repr=False)
    """Every setting as it was read, by name."""
    concerns: tuple[str, ...] = field(default=(), repr=False)
    """What an operator may have meant otherwise."""

    def origin(self, name: str) -> str:
        """
        Return where the value of a setting came from.
        """
        return self.readings[name].origin


def load(options: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    """
    Merge all sources. An option wins over the environment, that over the file, and that over the default.

    :param options: the given command line options by name, without dashes in front.
    :param environ: the environment. ``CLAUDEPROXY_X`` wins over ``X``; an empty value counts as not set. Names of other
        gateways count where a setting has no value by its own.
    :raises ConfigError: when a value is not allowed or does not fit the others.
    """
    given = {name: value for name, value in environ.items() if value}
    sources = [
        _Source(options, lambda name: name.lower().replace("_", "-"), "option --"),
        _Source(given, lambda name: f"CLAUDEPROXY_{name}", "environment "),
        _Source(given, lambda name: name, "environment "),
    ]
    tables: Mapping[str, Any] = {}
    config_file = _read(SETTINGS["CONFIG"], sources)
    if config_file.value is not None:
        sources.append(_file_source(config_file))
        tables = sources[-1].values
    readings = {row.name: _read(row, sources) for row in SETTINGS.values()}
    concerns = (*_read_aliases(readings, given), *_concerns(readings))
    _settle(readings, environ)
    sections: dict[str, Any] = {
        name: section(**{field_name: readings[row.name].value for field_name, row in section_settings(section)})
        for name, section in SECTIONS.items()
    }
    config = _joined(Config(**sections, readings=MappingProxyType(readings), concerns=concerns))
    upstreams, fallbacks = read_tables(tables, config_file.value, config.upstream)
    config = evolve(config, upstreams=upstreams, fallbacks=fallbacks)
    _check_required(config)
    check_reach(config)
    return config


@frozen
class _Source:
    """
    One place that values come from.
    """

    values: Mapping[str, Any]
    key: Callable[[str], str]
    """From a setting's name to the name it has here."""
    place: str
    """What precedes that name in an origin."""
    typed: bool = False
    """Whether values have the types of TOML; they are texts elsewhere."""

    def origin(self, name: str) -> str:
        return self.place + self.key(name)

    def has(self, name: str) -> bool:
        return self.key(name) in self.values

    def parse(self, row: Setting[Any]) -> Any:
        value = self.values[self.key(row.name)]
        try:
            return row.kind.from_toml(value) if self.typed else row.kind.parse(value)
        except ValueError:
            raise _not_allowed(row, self.origin(row.name), value) from None


def _read(row: Setting[Any], sources: list[_Source]) -> Reading:
    for source in sources:
        file_name = f"{row.name}_FILE"
        in_file = row.kind.secret and source.has(file_name)
        if in_file and source.has(row.name):
            origins = f"{source.origin(row.name)}, {source.origin(file_name)}"
            raise ConfigError(f"{row.name} ({origins}): must be set in one way, not in both")
        if in_file:
            return _read_secret(row, source.values[source.key(file_name)], source.origin(file_name))
        if source.has(row.name):
            return Reading(row, source.parse(row), source.origin(row.name))
    return Reading(row, row.default)


def _read_secret(row: Setting[Any], path: object, origin: str) -> Reading:
    """
    Read a secret that stands alone in a file; white space around it does not count.
    """
    if not isinstance(path, str):
        raise ConfigError(f"{row.name} ({origin}): must be the path of a file")
    text = read_text(row.name, path, origin).strip()
    try:
        return Reading(row, row.kind.parse(text), origin)
    except ValueError:
        raise _not_allowed(row, f"{origin}: {path}", text) from None


def _not_allowed(row: Setting[Any], origin: str, value: object, kind: Kind[Any] | None = None) -> ConfigError:
    # Where a secret is wrong it may still be one; a URL may carry a password.
    hidden = row.kind.secret or "@" in str(value)
    shown = "" if hidden else f", not {str(value)[:100]!r}"
    return ConfigError(f"{row.name} ({origin}): must be {(kind or row.kind).allowed}{shown}")


def _file_source(config_file: Reading) -> _Source:
    path: str = config_file.value
    text = read_text(config_file.setting.name, path, config_file.origin)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigError(f"CONFIG ({config_file.origin}): {path} is not TOML: {reason}") from None
    except RecursionError:
        raise ConfigError(f"CONFIG ({config_file.origin}): {path} is nested too deeply") from None
    rows = [row for row in SETTINGS.values() if row.name != "CONFIG"]
    known = [*TABLES, *(row.toml for row in rows)] + [f"{row.toml}_file" for row in rows if row.kind.secret]
    for key in table:
        if key not in known:
            nearest = get_close_matches(key.lower(), known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else "keys are the settings' names in lower case"
            raise ConfigError(f"CONFIG ({path}: {key[:100]!r}): no such setting; {hint}")
    return _Source(table, str.lower, f"{path}: ", typed=True)


def _read_aliases(readings: dict[str, Reading], environ: Mapping[str, str]) -> Iterator[str]:
    """
    Read the names of other gateways, and return what an operator should know about them.
    """
    for alias in ALIASES:
        if alias.name not in environ:
            continue
        text, row, origin = environ[alias.name], alias.setting, f"environment {alias.name}"
        reading = readings[row.name]
        try:
            value = alias.kind.parse(text)
        except ValueError:
            if not reading.given:
                raise _not_allowed(row, origin, text, alias.kind) from None
            value = None
        if not reading.given:
            readings[row.name] = Reading(row, value, origin)
        elif value != reading.value:
            yield f"{alias.name} has no effect: {row.name} is set by {reading.origin}."


def _concerns(readings: Mapping[str, Reading]) -> Iterator[str]:
    """
    Return what is allowed and may be meant otherwise.
    """
    required, keys = readings["REQUIRE_AUTH"], (readings["API_KEY"], readings["API_KEYS"])
    if required.given and not required.value and any(key.given for key in keys):
        yield "REQUIRE_AUTH is false, but there are keys, so clients are asked for one."
    rate, window = readings["RATE_LIMIT_PER_IP"].origin, readings["RATE_LIMIT_WINDOW_MS"]
    if rate == "environment RATE_LIMIT_REQUESTS_PER_MINUTE" and window.value != 60:
        yield f"{rate.partition(' ')[2]} counts in a window that is no minute: {window.value:g} s ({window.origin})."


def _settle(readings: dict[str, Reading], environ: Mapping[str, str]) -> None:
    """
    Compute the defaults that depend on something, and check the numbers that must fit together.
    """
    if not readings["STATE_DIR"].given:
        base = environ.get("XDG_STATE_HOME", "")
        # The XDG specification has relative paths ignored.
        if not base.startswith("/"):
            base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
        readings["STATE_DIR"] = evolve(readings["STATE_DIR"], value=os.path.join(base, "claudeproxy"))
    listen = readings["LISTEN"]
    if listen.value:
        for other in (readings["HOST"], readings["PORT"]):
            if other.given:
                raise ConfigError(
                    f"LISTEN ({listen.origin}): takes the place of HOST and PORT, so {other.setting.name} "
                    f"({other.origin}) must not be set"
                )
    warm, most = readings["WARM_PROCESSES"], readings["MAX_CONCURRENT_PROCESSES"]
    if warm.value > most.value:
        if warm.given:
            limit = f"MAX_CONCURRENT_PROCESSES ({most.value}, from {most.origin})"
            raise ConfigError(f"WARM_PROCESSES ({warm.origin}): must be at most {limit}, not {warm.value}")
        readings["WARM_PROCESSES"] = evolve(warm, value=most.value)


def _joined(config: Config) -> Config:
    """
    Fill in the fields that more than one setting decides.
    """
    auth, upstream = config.auth, config.upstream
    single = () if auth.api_key is None else (auth.api_key,)
    return evolve(
        config,
        auth=evolve(auth, api_keys=tuple(dict.fromkeys(single + auth.api_keys))),
        upstream=evolve(upstream, base_url_given=config.readings["OPENAI_BASE_URL"].given),
    )


def _check_required(config: Config) -> None:
    if config.auth.required and not config.auth.api_keys:
        origin = config.origin("REQUIRE_AUTH")
        raise ConfigError(f"REQUIRE_AUTH ({origin}): there is no key to be asked for; set API_KEY or API_KEYS")


def check_reach(config: Config) -> None:
    """
    Refuse to be an open door to the network.

    :raises ConfigError: other machines can reach the daemon, and there is no key.
    """
    if config.auth.api_keys:
        return
    server = config.server
    for endpoint in server.endpoints:
        if endpoint.is_local:
            continue
        name, shown = ("LISTEN", f"{endpoint} may") if server.listen else ("HOST", f"{server.host} can")
        raise ConfigError(
            f"{name} ({config.origin(name)}): {shown} be reached from other machines and no key is set, so anyone "
            "there could use this daemon; set API_KEY or API_KEYS, or listen on 127.0.0.1"
        )
