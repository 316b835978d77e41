"""
Which failures are worth another try, and after how long.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy import errors
from claudeproxy.core.retry import FAILING, UNWELL, Backoff, hands_over, may_do_better, retry_after

NOW = 1784116800.0
"""Wednesday, 15 July 2026, 12:00 UTC."""


@given(st.integers(0, 10), st.floats(0, 1), st.floats(0, 100))
def test_the_wait_doubles_and_is_bounded(retries: int, random: float, longest: float) -> None:
    """A wait is anything up to 0.25 s, doubled with each retry, and never more than the longest."""
    wait = Backoff(longest).wait(retries, None, random)

    assert wait == pytest.approx(random * min(0.25 * 2**retries, longest))


@pytest.mark.parametrize(("asked", "wait"), [(None, 0.125), (0.0, 0.125), (2.0, 2.0), (5.0, 5.0), (5.1, None)])
def test_what_the_upstream_asks_for(asked: float | None, wait: float | None) -> None:
    """Retry-After is honoured when it is within the longest wait; a longer one means that nothing is tried."""
    assert wait == Backoff(5.0).wait(0, asked, 0.5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Wed, 15 Jul 2026 12:00:30 GMT", 30.0),
        ("Wednesday, 15-Jul-26 12:00:30 GMT", 30.0),
        ("Wed, 15 Jul 2026 11:00:00 GMT", 0.0),
        ("9" * 400, 9999999999.0),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        ("Wed, 15 Jul 99999999999 12:00:30 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Retry-After is a number of seconds or a date; one that has passed is now, and nonsense says nothing."""
    assert seconds == retry_after(value, NOW)


@given(st.text())
def test_any_retry_after(value: str) -> None:
    """Whatever an upstream writes there, it is read as something or as nothing."""
    seconds = retry_after(value, NOW)

    assert seconds is None or seconds >= 0


def test_which_statuses_hand_over() -> None:
    """A 500 and a 429 say nothing about the upstream as a whole; who is out of reach is tried elsewhere only."""
    assert {429, 500, 502, 503, 504, 529} == FAILING
    assert {429, 500} == FAILING - UNWELL
    assert {520, 521, 522, 523, 524} == UNWELL - FAILING
    over = [status for status in range(200, 600) if may_do_better(status)]
    assert [429, *range(500, 600)] == over


def test_which_errors_hand_over() -> None:
    """Another backend is asked after 429 and 5xx of ours, but not while the daemon stops, nor for a bad request."""
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "ClaudeProxyError"]
    over = {kind.code for kind in kinds if hands_over(kind("why"))}

    assert {"rate_limit_exceeded", "usage_limit_reached", "capacity_exceeded", "overloaded", "timeout"} <= over
    assert {"connection_error", "backend_error", "backend_unavailable", "backend_auth_failed"} <= over
    assert not {"server_shutting_down", "invalid_value", "unsupported_parameter", "model_not_found"} & over
