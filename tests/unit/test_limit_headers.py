"""
How the limits are told.
"""

from __future__ import annotations

import pytest

from claudeproxy.core.limits import Standing
from claudeproxy.wire.limit_headers import go_duration, limit_lines, openai_limit_lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.012, "12ms"),
        (0.9995, "1s"),
        (1, "1s"),
        (59.1, "1m0s"),
        (90, "1m30s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (90061, "25h1m1s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration is written as Go writes it, and never shorter than it is."""
    assert text == go_duration(seconds)


def test_both_families() -> None:
    """Our names have the time of the reset, OpenAI's the time until it."""
    standing = Standing(60, 59, 90.2)

    assert limit_lines(standing, 1000.0) == (
        b"X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 59\r\nX-RateLimit-Reset: 1091\r\n"
    )
    assert openai_limit_lines(standing) == (
        b"x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1m31s\r\n"
    )
