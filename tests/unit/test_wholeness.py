"""
Which sequences of stream events are one whole response of the API.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from claudeproxy.backends.claude.answers.wholeness import ResponseCut, Wholeness
from claudeproxy.core.events import TextDelta, Usage
from claudeproxy.wire.anthropic import MessageDelta, MessageStart, MessageStop, ModelOutput

START, TEXT, STOP = MessageStart(Usage()), TextDelta("a"), MessageStop()
DELTA, REPORT = MessageDelta("end_turn", Usage()), MessageDelta(None, Usage())


@pytest.mark.parametrize(
    ("events", "cut"),
    [
        ([START, TEXT, DELTA, STOP], False),
        ([START, TEXT, None, DELTA], False),
        ([START, TEXT, REPORT, STOP], False),  # the CLI reports an error: a result line follows
        ([START, TEXT, STOP], True),
        ([START, STOP], True),
        ([STOP, START, TEXT, DELTA, STOP], False),  # of a message that ended with tool calls, in the turn before
        ([STOP, START, TEXT, STOP], True),
        ([START, TEXT, START], True),
        ([START, TEXT, DELTA, STOP, START], True),
    ],
)
def test_one_response_and_no_more(events: list[ModelOutput | None], cut: bool) -> None:
    """A message that ends without a reason, and a second one, show that the first was cut."""
    wholeness = Wholeness()
    for event in events[:-1]:
        wholeness.event(event)
    with pytest.raises(ResponseCut) if cut else nullcontext():
        wholeness.event(events[-1])


def test_another_request_before_anything_was_said() -> None:
    """The CLI may repeat a request that was not answered, and none whose response has begun."""
    wholeness = Wholeness()
    wholeness.resend()
    wholeness.event(START)
    with pytest.raises(ResponseCut):
        wholeness.resend()
