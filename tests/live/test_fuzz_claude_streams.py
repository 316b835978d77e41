"""
Random responses of Anthropic's API that are cut at any byte, on the real CLI.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from random import Random, randrange
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults

from claudeproxy.core.events import FinishReason
from claudeproxy.testing.anthropic import StubAnthropic
from claudeproxy.testing.playing import End, Step
from tests.helpers import real_cli
from tests.live.breaking import ENDINGS, STATES, Place, broken_turn, call, start, stop, text, thought
from tests.live.claude import LiveBackend

CASES = max(4, int(os.environ.get("FUZZ_CASES", "0")) // 50)
"""Each starts a CLI, which takes a second of CPU."""
SEED = os.environ.get("FUZZ_SEED") or ("1" if "FUZZ_CASES" not in os.environ else str(randrange(2**32)))
ONLY = os.environ.get("FUZZ_ONLY", "")
"""The numbers of the only cases to run, to look at one that failed."""
PLAYERS = 3


def stream(dice: Random) -> bytes:
    """
    A whole response: thinking, texts and calls in the API's order.
    """
    kinds = ["thought"] * dice.randrange(2) + ["text"] * dice.randrange(3) + ["call"] * dice.randrange(3)
    blocks = [start()]
    for index, kind in enumerate(kinds or ["text"]):
        words = [dice.choice(("so ", "é", "😀 ", "\\n", '"', "data: ", "\n\n")) for _ in range(dice.randint(1, 4))]
        if kind == "thought":
            blocks.append(thought(index, "".join(words)))
        elif kind == "text":
            blocks.append(text(index, "w", *words))
        else:
            arguments = json.dumps({"q": "".join(words)})
            at = dice.randrange(1, len(arguments))
            blocks.append(call(index, arguments[:at], arguments[at:]))
    return b"".join([*blocks, stop("tool_use" if "call" in kinds else "end_turn")])


def read(sent: bytes) -> tuple[Place, bool]:
    """
    What a reader knows of a response from the bytes that came, and whether that is all of it.
    """
    count, said, complete = 0, "", False
    for event in sent.split(b"\n\n")[:-1]:
        value: dict[str, Any] = json.loads(event.partition(b"data: ")[2])
        delta = value.get("delta") or {}
        count += value.get("content_block", {}).get("type") == "tool_use"
        count += delta.get("type") in ("text_delta", "thinking_delta", "input_json_delta")
        said += delta.get("text", "")
        complete |= value["type"] == "message_delta"
    return Place(sent, count, said), complete


async def faults(stub: StubAnthropic, dice: Random) -> tuple[list[str], str]:
    """
    Cut one response; return what is wrong with what became of it, and what kind it was.
    """
    whole = stream(dice)
    cut = len(whole) if dice.random() < 0.1 else dice.randrange(len(whole))
    place, complete = read(whole[:cut])
    name = dice.choice(sorted(ENDINGS))
    ending: Sequence[Step] = [End.FINISH] if cut == len(whole) else ENDINGS[name]
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": stub.url, "CLAUDE_PATH": real_cli()}
    live = LiveBackend.make(reactor, {**environ, "WARM_PROCESSES": "0"})
    try:
        broken = await broken_turn(live, stub, dice.choice(STATES), place, ending)
    finally:
        await live.stop()
    wrong = []
    if broken.requests != 1:
        wrong.append(f"{broken.requests} requests")
    if broken.sink.text != place.text:
        wrong.append(f"said {broken.sink.text!r} instead of {place.text!r}")
    if complete:
        expected = FinishReason.TOOL_CALLS if b"tool_use" in place.stream else FinishReason.STOP
        if broken.error is not None or broken.sink.finished.reason is not expected:
            wrong.append(f"{broken.error!r} for a whole response")
    elif broken.error is None or broken.finished or broken.error.status not in (502, 503):
        wrong.append(
            f"{broken.error!r} and {broken.finished} for one that broke after {place.stream[-60:]!r} by {name}"
        )
    return wrong, "whole" if complete else "broken"


@pytest_twisted.ensureDeferred
async def test_a_response_is_whole_or_an_error() -> None:
    """
    Whatever of a response has come: it is passed on once, the API is asked once, and only a response that the API has
    completed is said to be complete.
    """
    numbers = iter([int(each) for each in ONLY.split(",")] if ONLY else range(CASES))
    wrong: list[str] = []
    counts: Counter[str] = Counter()

    async def work(stub: StubAnthropic) -> None:
        for number in numbers:
            found, kind = await faults(stub, Random(f"{SEED}:{number}"))
            counts[kind] += 1
            wrong.extend(f"FUZZ_SEED={SEED} FUZZ_ONLY={number}: {each}" for each in found)

    stubs = [await StubAnthropic().listen(reactor) for _ in range(PLAYERS)]
    try:
        await gatherResults([ensureDeferred(work(stub)) for stub in stubs])
    finally:
        await gatherResults([stub.stop() for stub in stubs])
    print(f"\n{dict(counts)}")

    assert wrong == [], "\n".join(wrong)
