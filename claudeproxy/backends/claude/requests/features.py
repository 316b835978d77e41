"""
What not every model can do, and what is done about it.

Whether a model takes a request only the API can say, and it says so before the first token. Then the request is made
another way. What was learned by that is remembered for a while, if there was only one thing that it can have been: the
next turn of that kind goes the other way at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from claudeproxy.backends.claude.requests.bindings import with_recent_thoughts
from claudeproxy.core.chat import Message, Role, Text, Thinking, TurnSettings
from claudeproxy.core.digests import digest_of, json_digest
from claudeproxy.core.tools import Tool

__all__ = ["Feature", "Refusals", "emulated", "features_of", "speaks_of", "suspected"]

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
    FORCED = "forced"
    """A choice of functions that leaves the model none."""
    STRICT = "strict"
    """Functions whose arguments have to keep to their schemas."""
    SAMPLING = "sampling"
    """A temperature, or a part of the probabilities."""
    THOUGHTS = "thoughts"
    """What the model thought before it called functions, signed by the API."""
    MISPLACED = "misplaced"
    """Thoughts where something else comes before them than when the model had them."""


_WORDS = {
    Feature.MISPLACED: ("thinking", "signature"),
    Feature.THOUGHTS: ("thinking", "signature"),
    Feature.FORCED: ("tool_choice",),
    Feature.PREFILL: ("prefill", "end with a user"),
    Feature.SAMPLING: ("temperature", "top_p", "sampling"),
    Feature.SYSTEM: ('role "system"', "role 'system'", "'system' parameter", "'user' or 'assistant'"),
    Feature.STRICT: ("strict", "schema", "grammar"),
    Feature.FORMAT: ("output_config", "output_format", "schema", "grammar"),
}
"""Words by which a refusal speaks of a feature; of several, the first is left out first."""

_Key = tuple[str, Feature, str]


def features_of(settings: TurnSettings, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> dict[Feature, str]:
    """
    Return what a turn may have of these, each with what it is that one model may take and refuse of another turn.

    :param messages: the whole conversation.
    :param tools: the client's functions.
    """
    features: dict[Feature, str] = {}
    if settings.text_format is not None and settings.text_format.schema is not None:
        features[Feature.FORMAT] = json_digest(settings.text_format.schema)
    if any(message.role is Role.SYSTEM for message in messages):
        features[Feature.SYSTEM] = "" if _speak_after_users(messages) else "elsewhere"
    if messages and messages[-1].role is Role.ASSISTANT:
        features[Feature.PREFILL] = ""
    if settings.tool_choice.forced or settings.format is not None:
        features[Feature.FORCED] = ""
    if strict := [tool.digest for tool in tools if tool.strict]:
        features[Feature.STRICT] = digest_of(strict).hex()
    if settings.temperature is not None or settings.top_p is not None:
        features[Feature.SAMPLING] = ""
    recent = with_recent_thoughts(messages)
    if thoughts := [part.signature for message in recent for part in message.parts if isinstance(part, Thinking)]:
        features[Feature.THOUGHTS] = digest_of(thoughts).hex()
    if any(message.role is Role.ASSISTANT for message in messages):
        # Of answers without calls only their process knows the thoughts.
        features[Feature.MISPLACED] = ""
    return features


def suspected(refusal: str, features: Iterable[Feature]) -> frozenset[Feature]:
    """
    Return what the next attempt does without: the feature that the refusal speaks of, or all if it speaks of none.
    """
    had = frozenset(features)
    for feature in _WORDS:
        if feature in had and speaks_of(refusal, feature):
            return frozenset({feature})
    # A turn may have misplaced thoughts for all that is known here, and mostly has none.
    return had - {Feature.MISPLACED}


def speaks_of(refusal: str, feature: Feature) -> bool:
    """
    Whether a refusal has words about a feature.
    """
    return any(word in refusal.lower() for word in _WORDS[feature])


def _speak_after_users(messages: Sequence[Message]) -> bool:
    """
    Return whether the system's messages are all where a model takes them that takes any: after the user's, and not
    between a call and its result (the API's guide to system messages in the middle).
    """
    before: Role | None = None
    for message in messages:
        if message.role is Role.SYSTEM and before not in (Role.USER, Role.SYSTEM):
            return False
        before = message.role
    return True


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


def emulated(messages: Sequence[Message], features: frozenset[Feature], request: str = "") -> tuple[Message, ...]:
    """
    Return a conversation that says the same without these features.

    :param request: what the model is asked for besides.
    """
    told = tuple(_remark(message) if Feature.SYSTEM in features else message for message in messages)
    if Feature.THOUGHTS in features:
        told = tuple(message.shown for message in told)
    if told[-1].role is Role.ASSISTANT and (Feature.PREFILL in features or request):
        told += (Message(Role.USER, _marked(_GO_ON)),)
    return (*told, Message(Role.USER, _marked(request))) if request else told


def _remark(message: Message) -> Message:
    """
    Make a message of the system what Claude takes for one: a user's message, marked.
    """
    if message.role is not Role.SYSTEM:
        return message
    text = "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return Message(Role.USER, _marked(text))


def _marked(text: str) -> str:
    return f"<system-reminder>\n{text}\n</system-reminder>"
