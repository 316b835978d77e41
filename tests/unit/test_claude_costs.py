"""
What a process costs, and the answers that are charged with it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from claudeproxy.backends.claude.processes.control import Control
from claudeproxy.backends.claude.processes.costs import Costs
from claudeproxy.wire.claude_cli import ControlResponse


@define
class Asked:
    """A process that answers when the test says so."""

    clock: Clock = field(factory=Clock)
    written: list[dict[str, Any]] = field(factory=list)
    told: list[float | None] = field(factory=list)
    control: Control = field(init=False)
    costs: Costs = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.control = Control(self.clock, 30.0, lambda line: self.written.append(json.loads(line)), lambda: None)
        self.control.heard()
        self.costs = Costs(self.control, self.clock, True)

    def answer(self, payload: str, error: str | None = None) -> None:
        """Answer the last question."""
        self.control.answered(ControlResponse(self.written[-1]["request_id"], error, payload.encode()))

    def total(self, total: float) -> None:
        """Answer it as the CLI does."""
        self.answer(json.dumps({"session": {"total_cost_usd": total, "model_usage": {}}, "rate_limits": None}))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_each_charge_is_what_has_come_since(asked: Asked) -> None:
    """Whichever way the total is learned, nothing of it is charged twice, and no sum's noise is told."""
    assert asked.costs.charge(0.1) == 0.1
    asked.costs.ask(asked.told.append)
    asked.total(0.3)
    assert asked.told == [0.2]
    assert asked.costs.charge(0.3) == 0.0
    # A total that shrinks is another one's; nothing is given back, nor charged again.
    assert asked.costs.charge(0.1) == 0.0
    assert asked.costs.charge(0.35) == 0.05


def test_what_came_too_late_is_charged_later(asked: Asked) -> None:
    """An answer does not wait for ever; what it cost is part of what the next one does."""
    asked.costs.ask(asked.told.append)
    asked.clock.advance(1.9)
    assert asked.told == []
    asked.clock.advance(0.2)
    assert asked.told == [None]
    asked.total(0.25)

    assert asked.told == [None]
    assert asked.costs.charge(0.5) == 0.5


@pytest.mark.parametrize(
    "payload", ["{}", '{"session": null}', '{"session": {}}', '{"session": {"total_cost_usd": "1"}}']
)
def test_an_answer_that_says_nothing(payload: str, asked: Asked) -> None:
    """A CLI that refuses, or has another word for it, costs nobody's answer."""
    asked.costs.ask(asked.told.append)
    asked.answer(payload)

    assert asked.told == [None]
    assert asked.clock.getDelayedCalls() == []


def test_a_process_that_is_gone_is_not_waited_for(asked: Asked) -> None:
    """Nothing is left of the question."""
    asked.costs.ask(asked.told.append)
    asked.costs.close()
    asked.costs.close()

    assert (asked.told, asked.clock.getDelayedCalls()) == ([], [])


def test_one_that_would_ask_elsewhere_is_not_asked(asked: Asked) -> None:
    """Then the answer has no cost, at once."""
    Costs(asked.control, asked.clock, False).ask(asked.told.append)

    assert (asked.told, asked.written) == ([None], [])
