"""
What becomes of a turn when the API's stream breaks off, on the real CLI, which would ask the API again by itself.
"""

from __future__ import annotations

import os
from itertools import product

import pytest
import pytest_twisted

from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.stub import RecordedRequest
from tests.live.breaking import ENDINGS, PLACES, STATES, broken_turn
from tests.live.claude import Make, RecordingSink

ALL = list(product(PLACES, ENDINGS, STATES))
CASES = ALL if "FUZZ_CASES" in os.environ else ALL[::19]
"""``make test`` has each place, each ending with each state; ``make fuzz`` has all of them."""


def texts(recorded: RecordedRequest) -> list[str]:
    """The texts of a recorded request's messages, without the CLI's own notes."""
    told = []
    for message in recorded.body["messages"]:
        if message["role"] == "system":
            continue
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            inner = block.get("content") if block["type"] == "tool_result" else [block]
            inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
            told += [each["text"] for each in inner if each["type"] == "text"]
    return told


@pytest.mark.parametrize(("place", "ending", "state"), CASES)
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_ends_the_turn(
    claude: Make, stub_anthropic: StubAnthropic, place: str, ending: str, state: str
) -> None:
    """
    The client gets what there was, once, and an error; the API is not asked again. The next try is served by another
    process, and the model is told the conversation and nothing of the CLI's.
    """
    live = claude()
    broken = await broken_turn(live, stub_anthropic, state, PLACES[place], ENDINGS[ending])

    assert broken.error is not None
    assert broken.error.status in (502, 503)
    assert broken.finished == []
    assert broken.sink.text == PLACES[place].text
    assert len(broken.deltas) == PLACES[place].events
    assert broken.requests == 1
    assert live.backend.health().live == 0

    sink = RecordingSink()
    await broken.again.serve(sink)

    assert sink.finished is not None
    assert texts(stub_anthropic.requests[-1]) == broken.again.texts
