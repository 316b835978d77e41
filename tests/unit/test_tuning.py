"""
What a process is told of its settings.
"""

from __future__ import annotations

import json
import weakref

from twisted.internet.task import Clock

from claudeproxy.backends.claude.processes.control import Control
from claudeproxy.backends.claude.processes.tuning import Tuning
from claudeproxy.backends.claude.requests.settings import NEUTRAL


class Settings(dict[str, object]):
    """Settings that can be watched."""


def with_body(body: str) -> Settings:
    """Settings of a turn whose request has this body."""
    return Settings(effortLevel=None, env={"CLAUDE_CODE_EXTRA_BODY": body})


def tuning(clock: Clock, written: list[bytes]) -> Tuning:
    """What knows of a new process."""
    control = Control(clock, 10, written.append, lambda: None)
    control.heard()
    return Tuning(control, "sonnet", lambda response: None)


def test_a_process_is_told_what_is_new(clock: Clock) -> None:
    """What it has been told last it is not told again, whoever made it anew; what it was told before, it is."""
    written: list[bytes] = []
    tuned = tuning(clock, written)
    tuned.set("sonnet", dict(NEUTRAL))
    assert written == []

    for body in ("a", "a", "b", "a"):
        tuned.set("sonnet", with_body(body))
    told = [json.loads(line)["request"]["settings"]["env"]["CLAUDE_CODE_EXTRA_BODY"] for line in written]
    assert told == ["a", "b", "a"]

    tuned.set("opus", with_body("a"))
    assert json.loads(written[-1])["request"]["settings"] == {"model": "opus"}


def test_settings_are_not_kept(clock: Clock) -> None:
    """A turn's settings may hold its whole conversation, and a process lives on for long after it."""
    tuned = tuning(clock, [])
    settings = with_body("a")
    watched = weakref.ref(settings)
    tuned.set("sonnet", settings)
    del settings

    assert watched() is None
