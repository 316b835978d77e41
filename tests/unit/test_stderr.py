"""
What a CLI process writes to stderr, on its way to the log.
"""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs

from claudeproxy.backends.claude.processes.stderr import Stderr

SECRET = "sk-ant-api03-AbCdEf_123-xyz"
TEXT = f"grüße\nkey {SECRET} used\n\n    at f (/home/ann/x.js:1:2)\nlast"
LINES = ["grüße", "key [redacted] used", "last"]


def logged(*pieces: bytes) -> list[str]:
    """The lines that are logged of a process that wrote ``pieces``."""
    with capturedLogs() as events:
        stderr = Stderr(1000)
        for piece in pieces:
            stderr.received(piece)
        stderr.closed()
    return [event["line"] for event in events]


def test_lines_are_logged_redacted_wherever_the_pipe_cut_them() -> None:
    """An operator sees each line once, whole, and no secret, not even one that came in two pieces."""
    data = TEXT.encode()

    assert logged(data) == LINES
    assert [logged(data[:at], data[at:]) for at in range(len(data))] == [LINES] * len(data)


def test_a_flood_is_not_logged_for_ever() -> None:
    """The log shows the beginning, and says that there is more."""
    stderr = Stderr(1000)
    with capturedLogs() as events:
        for _ in range(1000):
            stderr.received(b"x" * 999 + b"\n")
        stderr.closed()

    assert len(events) == 66
    assert "more" in events[-1]["log_format"]


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_many_short_lines_are_not_logged_for_ever(size: int) -> None:
    """A line costs more than its bytes, so they are counted too, however they come."""
    data = b"a\n\n" * 10_000
    stderr = Stderr(1000)
    with capturedLogs() as events:
        for at in range(0, len(data), size):
            stderr.received(data[at : at + size])
        stderr.closed()

    assert [event.get("line") for event in events] == ["a"] * 100 + [None]


@pytest.mark.parametrize(("cap", "end"), [(0, ""), (4, ""), (30, "last"), (1000, "grüße\nkey [redacted] used\n\nlast")])
def test_the_end_is_kept_and_shown_redacted(cap: int, end: str) -> None:
    """What the log shows of a dead process begins with a whole line, so that no half of a secret is in it."""
    stderr = Stderr(cap)
    stderr.received(TEXT.encode())

    assert len(stderr.kept) == min(cap, len(TEXT.encode()))
    assert stderr.end() == end
