"""
From a running configuration to one that was read later: what differs, and what of it can be had without a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from claudeproxy.config.setting import Setting, section_settings
from claudeproxy.config.settings import SECTIONS, SETTINGS
from claudeproxy.config.sources import Config, check_reach
from claudeproxy.config.tables import TABLES

__all__ = ["Change", "TablesChange", "changes", "renewed"]


@frozen
class Change:
    """
    One setting that has another value than before. As a text it is fit for a log: secrets are counted, not shown.
    """

    setting: Setting[Any]
    old: Any
    new: Any

    def __str__(self) -> str:
        name = self.setting.name
        if not self.setting.kind.secret:
            return f"{name} {self._shown(self.old)} -> {self._shown(self.new)}"
        old, new = _secrets(self.old), _secrets(self.new)
        return f"{name} {len(old)} -> {len(new)} ({len(new - old)} came, {len(old - new)} went)"

    def _shown(self, value: Any) -> str:
        return "(none)" if value is None else self.setting.kind.render(value) or "(none)"


def _secrets(value: Any) -> set[Any]:
    """
    Return the secrets of a setting that holds one, several or none.
    """
    if value is None:
        return set()
    return set(value) if isinstance(value, tuple) else {value}


@frozen
class TablesChange:
    """
    Tables of the file that are others than before.
    """

    name: str

    def __str__(self) -> str:
        return f"the tables of {self.name}"


def changes(old: Config, new: Config) -> Iterator[Change | TablesChange]:
    """
    Compare two configurations, setting by setting. A value that only comes from elsewhere is no change.
    """
    for name, row in SETTINGS.items():
        before, after = old.readings[name].value, new.readings[name].value
        if before != after:
            yield Change(row, before, after)
    for table in TABLES:
        if getattr(old, table) != getattr(new, table):
            yield TablesChange(table)


def renewed(running: Config, fresh: Config) -> Config:
    """
    Return the running configuration with the values of ``fresh`` where a setting is live, and only there.

    :raises ConfigError: together they would open the door to the network, whatever ``fresh`` is by itself.
    """
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        source = getattr(fresh, name)
        live = {field: getattr(source, field) for field, row in section_settings(section) if row.live}
        sections[name] = evolve(getattr(running, name), **live)
    readings = {name: fresh.readings[name] if row.live else running.readings[name] for name, row in SETTINGS.items()}
    config = evolve(running, **sections, readings=MappingProxyType(readings), concerns=fresh.concerns)
    check_reach(config)
    return config
