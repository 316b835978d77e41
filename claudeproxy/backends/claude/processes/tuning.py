"""
What one process is set to, as far as turns differ in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from claudeproxy.backends.claude.processes.control import Control
from claudeproxy.backends.claude.requests.settings import NEUTRAL
from claudeproxy.core.digests import json_digest
from claudeproxy.wire.claude_cli import ControlResponse, apply_settings, show_thinking

__all__ = ["Tuning"]


_NEUTRAL = json_digest(NEUTRAL)


@define
class Tuning:
    """
    Knows what a process was told last, and tells it no more than what is new: each request costs the CLI some 10 ms
    before it turns to the message.
    """

    _control: Control
    _model: str
    _must_succeed: Callable[[ControlResponse], None]
    """Called with the answers whose refusal fails the turn."""
    _settings: str = field(init=False, default=_NEUTRAL)
    """A digest of those of the last turn: they may hold its whole conversation."""
    _shows_reasoning: bool = field(init=False, default=True)

    def set(self, model: str, settings: Mapping[str, object]) -> None:
        """
        Set the model and the CLI's settings.
        """
        told = json_digest(settings)
        changes: dict[str, object] = {} if told == self._settings else dict(settings)
        if model != self._model:
            changes["model"] = model
        if changes:
            self._settings, self._model = told, model
            self._control.ask(lambda request_id: apply_settings(request_id, changes), self._must_succeed)

    def rehearse(self) -> None:
        """
        Tell it what it is set to.
        """
        self._control.ask(lambda request_id: apply_settings(request_id, NEUTRAL), lambda response: None)

    def show_reasoning(self, shown: bool) -> None:
        """
        Have the answers show what the model thinks, or not. It is a matter of display: a refusal changes nothing.
        """
        if shown != self._shows_reasoning:
            self._shows_reasoning = shown
            self._control.ask(lambda request_id: show_thinking(request_id, shown), lambda response: None)
