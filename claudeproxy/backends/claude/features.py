"""
What not every model can do, and what is done about it.

Whether a model takes a request only the API can say, and it says so before the first token. Then the request is made
another way. What was learned by that is remembered for a while, if there was only one thing that it can have been: the
next turn of that kind goes the other way at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from claudeproxy.core.chat import Message, Role, Text, TurnSettings

__all__ = ["Feature", "Refusals", "emulated", "features_of"]

_MOST = 1000
"""Features that are remembered to be refused."""
_REMEMBERED = 3600.0
"""Seconds; models learn, and what was taken for a refusal may have been something else."""

_GO_ON = "Go on with your last message, exactly from where it ends. Do not repeat any of it, nor comment on this."


class Feature(StrEnum):
    """
    What a request may have.
    """

    FORMAT = "format"
    """A schema that the answer has to keep to."""
    SYSTEM = "system"
    """Messages of the system in the middle of the conversation."""
    PREFILL = "prefill"
    """The beginning of the answer."""


_Key = tuple[str, Feature, str]


def features_of(settings: TurnSettings, messages: Sequence[Message]) -> dict[Feature, str]:
    """
    Return what a turn has of these, each with what it is that one model may take and refuse of another turn.

    :param messages: the whole conversation.
    """
    features: dict[Feature, str] = {}
    if settings.format is not None and settings.format.schema is not None:
        schema = json.dumps(settings.format.schema, sort_keys=True)
        features[Feature.FORMAT] = sha256(schema.encode()).hexdigest()
    if any(message.role is Role.SYSTEM for message in messages):
        features[Feature.SYSTEM] = ""
    if messages and messages[-1].role is Role.ASSISTANT:
        features[Feature.PREFILL] = ""
    return features


@define
class Refusals:
    """
    Which models refused what.
    """

    _clock: IReactorTime
    _known: dict[_Key, float] = field(init=False, factory=dict)
    """Until when it is remembered; the last refused last."""

    def of(self, model: str, features: dict[Feature, str]) -> frozenset[Feature]:
        """
        Return those of a turn's features that its model is known to refuse.
        """
        now = self._clock.seconds()
        return frozenset(
            feature for feature, which in features.items() if self._known.get((model, feature, which), 0.0) > now
        )

    def note(self, model: str, feature: Feature, which: str) -> None:
        """
        Remember that a model refused this.
        """
        self._known.pop((model, feature, which), None)
        self._known[model, feature, which] = self._clock.seconds() + _REMEMBERED
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]


def emulated(messages: Sequence[Message], features: frozenset[Feature]) -> tuple[Message, ...]:
    """
    Return a conversation that says the same without these features.
    """
    told = tuple(_remark(message) if Feature.SYSTEM in features else message for message in messages)
    if Feature.PREFILL in features and told[-1].role is Role.ASSISTANT:
        told += (Message(Role.USER, _GO_ON),)
    return told


def _remark(message: Message) -> Message:
    """
    Make a message of the system what Claude takes for one: a user's message, marked.
    """
    if message.role is not Role.SYSTEM:
        return message
    text = "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return Message(Role.USER, f"<system-reminder>\n{text}\n</system-reminder>")
