"""
Whatever is said, the model is told exactly that: random conversations on the real CLI, in every way that there is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults

from claudeproxy.core.sessions import Session
from claudeproxy.testing.anthropic import StubAnthropic
from tests.helpers import real_cli
from tests.live.claude import LiveBackend
from tests.live.conversations import conversation
from tests.live.fidelity import Player
from tests.live.odd import Dice

CASES = int(os.environ.get("FIDELITY_CASES", "30"))
SEED = os.environ.get("FIDELITY_SEED", "1")
ONLY = os.environ.get("FIDELITY_ONLY", "")
"""The numbers of the only conversations to play, to look at a deviation."""
PLAYERS = int(os.environ.get("FIDELITY_PLAYERS", "3"))
MODELS = ("sonnet", "sonnet", "sonnet", "haiku", "gpt-4o", "opus", "claude-sonnet-4-5")
MOST = 10
"""Deviations after which there is no need to go on."""


def backend(stub: StubAnthropic, known: Iterable[Session] = ()) -> LiveBackend:
    """A backend that keeps just enough processes waiting for one conversation after the other."""
    environ = {
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": stub.url,
        "CLAUDE_PATH": real_cli(),
        "WARM_PROCESSES": "1",
        "MAX_CONCURRENT_PROCESSES": "5",
    }
    return LiveBackend.make(reactor, environ, known)


@pytest_twisted.ensureDeferred
async def test_what_is_said_reaches_the_model(tmp_path: Path) -> None:
    """
    The API gets each message, system prompt and function of a conversation as it was sent: told as a whole, continued
    live, by the session's id, after its process is gone and after a restart.
    """
    numbers = iter([int(each) for each in ONLY.split(",")] if ONLY else range(CASES))
    deviations: list[str] = []
    counts: Counter[str] = Counter()

    async def work(player: Player) -> None:
        for number in numbers:
            if len(deviations) >= MOST:
                return
            dice = Dice(f"{SEED}:{number}")
            try:
                await player.play(conversation(dice), f"tenant {number}", dice.choice(MODELS))
            except Exception as error:
                deviations.append(f"FIDELITY_SEED={SEED} FIDELITY_ONLY={number}: {type(error).__name__}: {error}")

    stubs = [await StubAnthropic().listen(reactor) for _ in range(PLAYERS)]
    players = [Player(backend, stub, tmp_path / str(index)) for index, stub in enumerate(stubs)]
    try:
        await gatherResults([ensureDeferred(work(player)) for player in players])
    finally:
        await gatherResults([player.stop() for player in players])
        await gatherResults([stub.stop() for stub in stubs])
    for player in players:
        counts += player.counts
    print(f"\n{dict(counts)}")

    assert deviations == [], "\n\n".join(deviations)
    if not ONLY:
        assert counts["went on in the CLI's own way"] > CASES / 10
