"""
Which backends serve a request, and in which order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from fnmatch import translate

from attrs import field, frozen

from claudeproxy.core.catalog import Catalog
from claudeproxy.errors import InvalidHeaderValue, InvalidSessionID

__all__ = ["OPENAI", "BackendName", "Fallback", "ModelNames", "Router", "Step", "UpstreamRoute", "parse_session_id"]

OPENAI = "openai"
"""The name of the upstream that the ``OPENAI_*`` settings describe."""

_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no"})
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class BackendName(StrEnum):
    """
    The kinds of backends, by the names that ``X-Backend-Mode`` says.
    """

    CLAUDE = "claude-code"
    UPSTREAM = "openai-passthrough"


@frozen
class Step:
    """
    One backend to ask.
    """

    backend: BackendName
    upstream: str = ""
    """The upstream's name; empty for Claude Code."""
    model: str | None = None
    """The model to ask for, in the place of the request's."""

    def __str__(self) -> str:
        """
        The step as it is written in a chain.
        """
        name = self.upstream or BackendName.CLAUDE.value
        return name if self.model is None else f"{name}/{self.model}"


@frozen
class ModelNames:
    """
    A few models by name; ``*`` stands for anything and ``?`` for any one character.
    """

    patterns: tuple[str, ...]
    _match: Callable[[str], object] = field(init=False, eq=False, repr=False)

    @_match.default
    def _compile(self) -> Callable[[str], object]:
        # A bracket is one: sonnet[1m] is a name.
        written = (translate(pattern.replace("[", "[[]")) for pattern in self.patterns)
        return re.compile("|".join(written) or "(?!)").match

    def __contains__(self, model: str) -> bool:
        return self._match(model) is not None


@frozen
class UpstreamRoute:
    """
    What routing knows of an upstream.
    """

    name: str
    models: ModelNames
    """Those that go there."""
    enabled: bool
    """Whether it takes a client's own key."""
    configured: bool
    """Whether requests can go there without one."""


@frozen
class Fallback:
    """
    Who serves a few models, one after the other.
    """

    models: ModelNames
    chain: tuple[Step, ...]


_CLAUDE_ONLY = (Step(BackendName.CLAUDE),)


@frozen
class Router:
    """
    Knows who serves what.

    What the client says in a header comes first, and is final: one backend is asked then and no other. Otherwise the
    model's name decides, in the operator's chains, then in the tables of the upstreams, then as if there were neither.
    """

    _catalog: Catalog
    _route_claude_models: bool
    """Whether Claude's models go to Claude Code although there is an upstream."""
    _upstreams: Sequence[UpstreamRoute]
    """In the order in which they are asked, ``openai`` last."""
    _fallbacks: Sequence[Fallback] = ()
    _named: Sequence[tuple[UpstreamRoute, tuple[Step, ...]]] = field(init=False)
    _openai: UpstreamRoute = field(init=False)

    @_named.default
    def _name_all(self) -> Sequence[tuple[UpstreamRoute, tuple[Step, ...]]]:
        return [(route, (Step(BackendName.UPSTREAM, route.name),)) for route in self._upstreams]

    @_openai.default
    def _find_openai(self) -> UpstreamRoute:
        return self._upstreams[-1]

    def steps(self, *, claude_code: str | None, session_id: str | None, model: str, own_key: bool) -> tuple[Step, ...]:
        """
        Return whom to ask, the first one first.

        :param claude_code: the value of ``X-Claude-Code``.
        :param session_id: the value of ``X-Claude-Session-ID``; sessions are Claude Code's.
        :param own_key: whether the client brought a key of its own, which only ``openai`` may get.
        :raises InvalidHeaderValue: when ``claude_code`` says neither yes nor no.
        """
        if claude_code is not None:
            return _CLAUDE_ONLY if _truth(claude_code) else self._upstream_for(model, own_key)
        if session_id is not None:
            return _CLAUDE_ONLY
        if own_key and self._openai.enabled:
            return self._usual(model, True)
        return self.by_name(model)

    def by_name(self, model: str) -> tuple[Step, ...]:
        """
        Return whom to ask for a model when the client's headers say nothing.
        """
        for fallback in self._fallbacks:
            if model in fallback.models:
                return fallback.chain
        return self._table(model) or self._usual(model, self._openai.configured)

    def can_relay(self, own_key: bool) -> bool:
        """
        Whether there is an upstream for what only an upstream can serve.
        """
        return any(route.configured for route in self._upstreams) or (own_key and self._openai.enabled)

    def default_upstream(self, own_key: bool) -> str:
        """
        Return the name of the upstream that serves what has no model: ``openai``, or where there is none, the first.
        """
        return self._default(own_key)[0].upstream

    def _upstream_for(self, model: str, own_key: bool) -> tuple[Step, ...]:
        own = own_key and self._openai.enabled
        return (None if own else self._table(model)) or self._default(own_key)

    def _default(self, own_key: bool) -> tuple[Step, ...]:
        usable = self._openai.configured or (own_key and self._openai.enabled)
        return self._named[-1 if usable else 0][1]

    def _table(self, model: str) -> tuple[Step, ...] | None:
        return next((steps for route, steps in self._named if model in route.models), None)

    def _usual(self, model: str, upstream: bool) -> tuple[Step, ...]:
        """
        Who serves a model that is in no table.

        With no upstream everything goes to Claude Code: it serves the mapped names, and it answers an unknown one with
        the names that are near to it.
        """
        if not upstream or (self._route_claude_models and self._catalog.is_claude(model)):
            return _CLAUDE_ONLY
        return self._named[-1][1]


def parse_session_id(value: str) -> str:
    """
    Return the session id in lower case.

    :raises InvalidSessionID: when it is not a version 4 UUID.
    """
    session_id = value.lower()
    if _UUID4.fullmatch(session_id) is None:
        raise InvalidSessionID("The session id must be a version 4 UUID, as an earlier answer gave it.")
    return session_id


def _truth(value: str) -> bool:
    word = value.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise InvalidHeaderValue(
        "The header X-Claude-Code must be one of true, 1, yes, false, 0, no.", param="X-Claude-Code"
    )
