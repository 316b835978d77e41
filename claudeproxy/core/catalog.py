"""
The models by name: Claude's own, and the names of others that stand for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import translate

from claudeproxy.errors import ModelNotFound

__all__ = ["Catalog"]

_ALIASES = ("sonnet", "opus", "haiku", "fable")
"""The CLI's own names for the current model of each family; with ``[1m]`` they ask for the long context."""

_FRIENDLY = {
    "claude-sonnet-4": "sonnet",
    "claude-opus-4": "opus",
    "claude-opus-4.1": "claude-opus-4-1",
    "claude-sonnet-3.7": "sonnet",
    "claude-haiku-3.5": "haiku",
}
"""
Names that clients of earlier gateways send and no API has. Their models are retired, so the family's current one
answers, as it does when the CLI itself is given the id of a retired Opus. Full ids are never changed.
"""

_CLAUDE_ID = re.compile(r"claude-[A-Za-z0-9][A-Za-z0-9._:@\[\]-]{0,127}")
"""What may be a Claude model's id. Which ones exist is the API's to know: a new one must not need a new release."""

_DOTTED_VERSION = re.compile(r"(claude-[a-z]+-[0-9]+)\.([0-9]+)")

_OPENAI_NAMES = {
    "gpt-4o": "sonnet",
    "gpt-4o-mini": "haiku",
    "gpt-4.1": "sonnet",
    "gpt-4.1-mini": "haiku",
    "gpt-4.1-nano": "haiku",
    "gpt-4-turbo": "sonnet",
    "gpt-4": "sonnet",
    "gpt-3.5-turbo": "haiku",
    "chatgpt-4o-latest": "sonnet",
}
_OPENAI_VARIANTS = {
    "gpt-4o-mini-*": "haiku",
    "gpt-4o-[0-9]*": "sonnet",
    "gpt-4.1-mini-*": "haiku",
    "gpt-4.1-nano-*": "haiku",
    "gpt-4.1-[0-9]*": "sonnet",
    "gpt-4-turbo-*": "sonnet",
    "gpt-4-[0-9]*": "sonnet",
    "gpt-3.5-turbo-*": "haiku",
}
"""Dated variants and previews. Those that speak or search, as ``gpt-4o-audio-preview``, have no counterpart."""

_DEFAULT = "default"
_WILDCARD = re.compile(r"[*?\[]")
_LONGEST_TOLD = 64

_Rules = tuple[tuple[re.Pattern[str], str], ...]


class Catalog:
    """
    Knows what a model's name means to the CLI.

    Names are exact, upper and lower case included, as they are in the APIs that they come from. A name is looked up in
    the operator's map first (whole names before wildcards, those in the order given), then among Claude's own names,
    then among the OpenAI names that have a counterpart.

    :param model_map: the operator's names and shell-style wildcards, each with the model that it stands for. A target
        that is unknown here goes to the CLI as it is written: the operator's word is taken.
    :param default_model: what the name ``default`` means, also as a target of the map.
    """

    def __init__(self, model_map: Mapping[str, str], default_model: str) -> None:
        self._default = default_model
        self._openai_rules = _rules(_OPENAI_VARIANTS.items())
        self.use(model_map)

    def use(self, model_map: Mapping[str, str]) -> None:
        """
        Have the operator's names and wildcards mean this from now on.
        """
        # Wildcards too: opus[1m] looks like one and is a name all the same.
        self._operators_names = dict(model_map)
        self._operators_rules = _rules(model_map.items())
        operators = (name for name in model_map if not _WILDCARD.search(name))
        self._names = tuple(dict.fromkeys((*_ALIASES, *_FRIENDLY, *operators, *_OPENAI_NAMES)))

    def names(self) -> tuple[str, ...]:
        """
        Return the names to list, Claude's own first. Wildcards and ids that nobody wrote down are not among them.
        """
        return self._names

    def unknown_targets(self) -> tuple[str, ...]:
        """
        Return what the operator's names stand for although it means nothing here.
        """
        targets = dict.fromkeys(self._operators_names.values())
        return tuple(target for target in targets if target != _DEFAULT and not self.is_claude(target))

    def is_claude(self, name: str) -> bool:
        """
        Return whether the name is one of Claude's own, not one that only stands for it.
        """
        return _CLAUDE_ID.fullmatch(name) is not None or name.removesuffix("[1m]") in _ALIASES

    def resolve(self, name: str) -> str:
        """
        Return the name under which the CLI knows the model.

        :raises ModelNotFound: with the nearest names, when the name means nothing here.
        """
        target = self._operators_names.get(name) or _first(self._operators_rules, name)
        if target is None:
            if name == _DEFAULT or self.is_claude(name):
                target = name
            else:
                target = _OPENAI_NAMES.get(name) or _first(self._openai_rules, name)
        if target is None:
            raise self._not_found(name)
        return _cli_name(self._default if target == _DEFAULT else target)

    def _not_found(self, name: str) -> ModelNotFound:
        told = name if len(name) <= _LONGEST_TOLD else f"{name[:_LONGEST_TOLD]}..."
        near = get_close_matches(name[:_LONGEST_TOLD], self._names, cutoff=0.5) or list(self._names[: len(_ALIASES)])
        return ModelNotFound(f"The model {told!r} does not exist. The nearest names: {', '.join(near)}.", param="model")


def _cli_name(name: str) -> str:
    return _FRIENDLY.get(name) or _DOTTED_VERSION.sub(r"\1-\2", name)


def _rules(items: Iterable[tuple[str, str]]) -> _Rules:
    return tuple((re.compile(translate(name)), target) for name, target in items if _WILDCARD.search(name))


def _first(rules: _Rules, name: str) -> str | None:
    return next((target for pattern, target in rules if pattern.match(name)), None)
