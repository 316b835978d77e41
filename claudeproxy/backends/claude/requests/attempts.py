"""
The attempts at one turn: what the next one does without, and what is learned from those that failed.
"""

from __future__ import annotations

import re

from attrs import define, field, frozen

from claudeproxy.backends.claude.requests.features import Feature, Refusals, speaks_of, suspected
from claudeproxy.backends.claude.requests.ways import Way
from claudeproxy.errors import AnswerNotJSON, ClaudeProxyError, RequestRefused

__all__ = ["Attempts"]

_MOST = 4
"""As it is, twice without what the last refusal speaks of, and, if that is refused too, without all that may be why."""


@frozen
class _Failure:
    had: frozenset[Feature]
    """What the attempt had that may be why."""
    error: ClaudeProxyError


@define
class Attempts:
    """
    Knows what was tried already.
    """

    _refusals: Refusals
    _model: str
    _features: dict[Feature, str]
    """What the turn has."""
    refused: frozenset[Feature] = field(init=False)
    """What the next attempt does without."""
    _failures: list[_Failure] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.refused = self._refusals.of(self._model, self._features)

    def refused_by_api(self, way: Way, refusal: RequestRefused) -> None:
        """
        The API has refused an attempt; choose what the next one does without.

        The last attempt that a refusal leads to is made in words that every model takes. Where it is not for these, the
        client learns what the API said of its request as it was.

        :raises ClaudeProxyError: there is nothing left to try.
        """
        had = way.has(self._features)
        untried = suspected(refusal.message, had)
        if untried and len(self._failures) == _MOST - 2:
            untried = frozenset(self._features)
        self._failed(had, refusal)
        if not untried or len(self._failures) == _MOST:
            raise self._failures[0].error from None
        self.refused |= untried

    def is_no_object(self, way: Way, failure: AnswerNotJSON) -> None:
        """
        The model has not kept to the form of the answer; the next attempt asks for it in another way.

        :raises AnswerNotJSON: there is none, or the client has seen the beginning of an object.
        """
        had = way.has(self._features)
        if Feature.FORMAT not in had or way.form is None or way.form.begun or len(self._failures) == _MOST - 1:
            raise failure
        self._failed(had, failure)
        self.refused |= {Feature.FORMAT}

    def succeeded(self, way: Way) -> None:
        """
        The last attempt has come to its end.
        """
        if self._failures:
            self._learn(self._failures[-1], way.has(self._features))

    def _failed(self, had: frozenset[Feature], error: ClaudeProxyError) -> None:
        if self._failures and _words(error) != _words(self._failures[-1].error):
            # The attempt before has failed for something else, which this one did without.
            self._learn(self._failures[-1], had)
        self._failures.append(_Failure(had, error))

    def _learn(self, failure: _Failure, still: frozenset[Feature]) -> None:
        """
        Remember for what an attempt failed, if it can have been one thing alone.

        :param still: what the next one had, which went further.
        """
        culprits = failure.had - still
        if len(culprits) != 1:
            return
        (feature,) = culprits
        # Where nothing is forced, functions that must not be called are left out as well; it may have been one of them.
        if feature is not Feature.FORCED or speaks_of(failure.error.message, feature):
            self._refusals.note(self._model, feature, self._features[feature])


def _words(error: ClaudeProxyError) -> str:
    """Return what an error says; where in the request that is may change with each attempt."""
    return re.sub(r"\d+", "", error.message)
