"""
The tables of the configuration file, which no option and no variable can say: further upstreams, and fallback chains.

:data:`TABLES` describes their keys; the reader, the reference and the sample file go by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NoReturn

from attrs import evolve, frozen

from claudeproxy.config.kinds import MODEL_NAME, Key, Kind, Pattern
from claudeproxy.config.lists import MODEL_PATTERN, Listed
from claudeproxy.config.places import BaseURL
from claudeproxy.config.reading import ConfigError, read_text
from claudeproxy.config.settings import SETTINGS, UpstreamConfig
from claudeproxy.core.routing import OPENAI, BackendName, Fallback, ModelNames, Step

__all__ = ["TABLES", "Table", "TableKey", "read_tables", "render_tables"]

_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
_BARE = "[A-Za-z0-9_-]{1,100}"
_RESERVED = (OPENAI, BackendName.CLAUDE.value)


@frozen
class Models(Listed[str]):
    """
    Models by name.
    """

    allowed = "an array of one or more models' names, in which * stands for anything and ? for one character"

    def item(self, text: str) -> str:
        return Pattern(MODEL_PATTERN, "").parse(text)

    def from_toml(self, value: object) -> tuple[str, ...]:
        return super().from_toml(value) or self._none()


@frozen
class Chain(Listed[str]):
    """
    The steps of a chain, as they are written.
    """

    allowed = 'an array of one or more backends, as "deepseek", or with the model to ask for, "deepseek/deepseek-chat"'

    def item(self, text: str) -> str:
        return Pattern(f"{_NAME}(/{MODEL_NAME})?", "").parse(text)

    def from_toml(self, value: object) -> tuple[str, ...]:
        return super().from_toml(value) or self._none()


@frozen
class TableKey:
    """
    One key of a table.
    """

    name: str
    kind: Kind[Any]
    help: str
    example: str
    """As TOML."""
    required: bool = True


@frozen
class Table:
    """
    A table of the file.
    """

    title: str
    heading: str
    """As TOML."""
    help: str
    keys: tuple[TableKey, ...]

    @property
    def known(self) -> list[str]:
        """
        The names of all keys that it may have.
        """
        return [key.name for key in self.keys] + [f"{key.name}_file" for key in self.keys if key.kind.secret]

    @property
    def example(self) -> list[str]:
        """
        Such a table, in lines of TOML.
        """
        return [self.heading, *(f"{key.name} = {key.example}" for key in self.keys)]


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "upstreams": Table(
            "Upstreams",
            "[upstreams.deepseek]",
            "A further OpenAI-compatible API. Its name has lower-case letters, digits, `-` and `_`. The first in the "
            "file that names a model serves it; last comes `openai`, which the settings above describe and which "
            "serves what no other names. The settings `UPSTREAM_*` and `REQUEST_*` hold for each.",
            (
                TableKey("base_url", BaseURL(), "Where it is.", '"https://api.deepseek.com/v1"'),
                TableKey("api_key", Key(), "Its key; a local server may need none.", '"..."', required=False),
                TableKey(
                    "models",
                    Models(),
                    "The models that go there; none, if it only stands in chains. They come before Claude's own.",
                    '["deepseek-*", "r1"]',
                    required=False,
                ),
            ),
        ),
        "fallbacks": Table(
            "Fallbacks",
            "[[fallbacks]]",
            "Who serves some models, one after the other: a backend that fails before its first byte hands over to the "
            "next. The first of these tables whose `models` match counts, in the place of all routing by name.",
            (
                TableKey("models", Models(), "The models that it is about.", '["gpt-4o*"]'),
                TableKey(
                    "chain",
                    Chain(),
                    "Backends: `claude-code`, `openai` or the name of an upstream. A model after the slash is asked "
                    "for in the place of the request's.",
                    '["openai", "deepseek/deepseek-chat", "claude-code/sonnet"]',
                ),
            ),
        ),
    }
)


@frozen
class _Place:
    """
    Where in the file something is.
    """

    file: str
    keys: str

    def below(self, key: str) -> _Place:
        # A key in quotes may have a line break.
        return evolve(self, keys=f"{self.keys}.{key if re.fullmatch(_BARE, key) else repr(key[:100])}")

    def refuse(self, why: str) -> NoReturn:
        """
        Say what is wrong here.
        """
        raise ConfigError(f"CONFIG ({self.file}: {self.keys}): {why}")


@frozen
class _Reader:
    """
    Reads the values of one table.
    """

    table: Table
    values: Mapping[str, Any]
    place: _Place

    def check(self) -> None:
        """
        Refuse what the table may not have.
        """
        known = self.table.known
        for key in self.values:
            if key in known:
                continue
            if key.upper().removesuffix("_FILE") in SETTINGS:
                self.place.below(key).refuse("is a setting, and settings stand above all tables of the file")
            self.place.below(key).refuse(f"no such key; {_near(key, known)}")

    def read(self) -> dict[str, Any]:
        """
        Return the values by key.
        """
        self.check()
        return {key.name: self._value(key) for key in self.table.keys}

    def _value(self, key: TableKey) -> Any:
        place, in_file = self.place.below(key.name), f"{key.name}_file"
        if key.kind.secret and in_file in self.values:
            if key.name in self.values:
                place.refuse(f"must be set in one way, not also by {in_file}")
            return self._secret(key, self.place.below(in_file), self.values[in_file])
        if key.name not in self.values:
            if key.required:
                place.refuse(f"is missing; it must be {key.kind.allowed}")
            return None
        value = self.values[key.name]
        try:
            return key.kind.from_toml(value)
        except ValueError:
            # Where a secret is wrong it may still be one; a URL may carry a password.
            hidden = key.kind.secret or "@" in str(value)
            place.refuse(f"must be {key.kind.allowed}" + ("" if hidden else f", not {str(value)[:100]!r}"))

    def _secret(self, key: TableKey, place: _Place, path: object) -> Any:
        if not isinstance(path, str):
            place.refuse("must be the path of a file")
        try:
            return key.kind.parse(read_text("CONFIG", path, f"{place.file}: {place.keys}").strip())
        except ValueError:
            place.refuse(f"what is in {path!r} must be {key.kind.allowed}")


def read_tables(
    values: Mapping[str, Any], path: str, usual: UpstreamConfig
) -> tuple[tuple[UpstreamConfig, ...], tuple[Fallback, ...]]:
    """
    Return the upstreams and the fallbacks of a configuration file.

    :param values: the whole file.
    :param path: its path.
    :param usual: the upstream that the settings describe; what a table does not say is as it is there.
    :raises ConfigError: when something is not allowed.
    """
    upstreams = tuple(_upstreams(values.get("upstreams", {}), _Place(path, "upstreams"), usual))
    names = [*_RESERVED, *(upstream.name for upstream in upstreams)]
    return upstreams, tuple(_fallbacks(values.get("fallbacks", []), _Place(path, "fallbacks"), names))


def _upstreams(tables: object, place: _Place, usual: UpstreamConfig) -> Iterator[UpstreamConfig]:
    if not isinstance(tables, dict):
        place.refuse("must be tables, each with the name of an upstream: [upstreams.deepseek]")
    for name, values in tables.items():
        here = place.below(name)
        if name in _RESERVED:
            described = "the OPENAI_* settings describe this upstream" if name == OPENAI else "this is no upstream"
            here.refuse(f"{described}; choose another name")
        if not re.fullmatch(_NAME, name):
            here.refuse("the name must be made of lower-case letters, digits, - and _, at most 64")
        if not isinstance(values, dict):
            here.refuse(f"must be a table: [upstreams.{name}]")
        read = _Reader(TABLES["upstreams"], values, here).read()
        yield evolve(
            usual,
            name=name,
            base_url=read["base_url"],
            base_url_given=True,
            api_key=read["api_key"],
            models=read["models"] or (),
            enabled=True,
            allow_client_key=False,  # which is a key of openai's
        )


def _fallbacks(tables: object, place: _Place, names: list[str]) -> Iterator[Fallback]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        place.refuse("must be tables: [[fallbacks]]")
    for number, values in enumerate(tables):
        here = evolve(place, keys=f"fallbacks[{number}]")
        read = _Reader(TABLES["fallbacks"], values, here).read()
        chain = tuple(_step(text, here.below("chain"), names) for text in read["chain"])
        yield Fallback(ModelNames(read["models"]), chain)


def _step(text: str, place: _Place, names: list[str]) -> Step:
    name, slash, model = text.partition("/")
    if name not in names:
        place.refuse(f"there is no backend {name!r}; {_near(name, names)}")
    claude = name == BackendName.CLAUDE
    kind = BackendName.CLAUDE if claude else BackendName.UPSTREAM
    return Step(kind, "" if claude else name, model if slash else None)


def _near(word: str, known: list[str]) -> str:
    nearest = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"


def render_tables(upstreams: Iterable[UpstreamConfig], fallbacks: Iterable[Fallback]) -> Iterator[str]:
    """
    Return the lines of a file that has these tables; secrets are masked.
    """
    for upstream in upstreams:
        written = {"base_url": upstream.base_url, "api_key": upstream.api_key, "models": upstream.models or None}
        yield from _render(TABLES["upstreams"], f"[upstreams.{upstream.name}]", written)
    for fallback in fallbacks:
        chain = tuple(str(step) for step in fallback.chain)
        written = {"models": fallback.models.patterns, "chain": chain}
        yield from _render(TABLES["fallbacks"], "[[fallbacks]]", written)


def _render(table: Table, heading: str, values: Mapping[str, object]) -> Iterator[str]:
    yield heading
    for key in table.keys:
        value = values[key.name]
        if value is not None:
            yield f"{key.name} = {key.kind.render_toml(value)}"
    yield ""
