"""
What a setting is, and how the table holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from attrs import AttrsInstance, field, fields, frozen

from claudeproxy.config.kinds import Kind, Milliseconds

__all__ = ["Section", "Setting", "request_timeout", "request_total_timeout", "section_settings", "setting"]

T = TypeVar("T")
D = TypeVar("D")

_METADATA_KEY = "claudeproxy.setting"


@frozen
class Setting(Generic[T]):
    """
    One row of the table.
    """

    name: str
    """The bare environment variable, for example ``REQUEST_TIMEOUT_MS``."""
    kind: Kind[T]
    default: T | None
    """None when there is none."""
    help: str
    """One sentence."""
    computed_default: str = ""
    """What to say about a default that depends on the environment."""
    live: bool = False
    """Whether a running daemon takes a new value when it is told to read its configuration again."""

    @property
    def option(self) -> str:
        """
        The command line option, without its two dashes.
        """
        return self.name.lower().replace("_", "-")

    @property
    def toml(self) -> str:
        """
        The key in the configuration file.
        """
        return self.name.lower()

    @property
    def default_text(self) -> str:
        """
        The default as an operator would write it; empty when there is none.
        """
        if self.computed_default or self.default is None:
            return self.computed_default
        return self.kind.render(self.default)


def setting(
    name: str, kind: Kind[T], default: D, help: str, computed_default: str = "", *, live: bool = False
) -> T | D:
    """
    Declare a field of a section that is a setting.
    """
    row = Setting[Any](name, kind, default, help, computed_default, live)
    declared: Any = field(default=default, metadata={_METADATA_KEY: row})
    return cast(D, declared)


def request_timeout() -> float:
    """
    Declare a setting that two sections need.
    """
    help = (
        "Longest wait for the first byte of a response, the wait for a CLI process included, and longest silence "
        "within it; a response that goes on is not cut."
    )
    return setting("REQUEST_TIMEOUT_MS", Milliseconds(1), 300.0, help)


def request_total_timeout() -> float:
    """
    Declare a setting that two sections need.
    """
    help = "How long a request may take in all, a response that goes on included; 0 is no limit."
    return setting("REQUEST_TOTAL_TIMEOUT_MS", Milliseconds(0), 0.0, help)


class Section(AttrsInstance, Protocol):
    """
    What the classes above have in common.
    """

    title: ClassVar[str]
    """The heading that the settings stand under in the documentation."""


def section_settings(section: type[Section]) -> Iterator[tuple[str, Setting[Any]]]:
    """
    Return the fields of a section that are settings, as pairs of field name and row.
    """
    for attribute in fields(section):
        if _METADATA_KEY in attribute.metadata:
            yield attribute.name, attribute.metadata[_METADATA_KEY]
