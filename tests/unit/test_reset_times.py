"""
When a usage limit is reset, read from the texts of refusals.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.backends.claude.answers.reset_times import reset_time

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC).timestamp()


def at(*date: int) -> float:
    """A time in UTC."""
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Claude AI usage limit reached|1795253324", 1795253324.0),
        ("You will regain access on 2026-12-05 at 00:00 UTC.", at(2026, 12, 5)),
        ("You will regain access on 2026-12-05 at 14:30 UTC", at(2026, 12, 5, 14, 30)),
        ("You will regain access on 2026-12-05", at(2026, 12, 5)),
        ("limit resets at 2026-12-05T06:07:08.123Z", at(2026, 12, 5, 6, 7)),
        ("limit resets at 2026-12-05 06:00 (Europe/Berlin)", at(2026, 12, 5, 5)),
        ("5-hour limit reached ∙ resets 3pm", at(2026, 12, 1, 15)),
        ("5-hour limit reached ∙ resets 11am", at(2026, 12, 2, 11)),
        ("You've hit your 5-hour limit · resets 1:21pm (UTC)", at(2026, 12, 1, 13, 21)),
        ("You've hit your limit · resets 12am (UTC)", at(2026, 12, 2)),
        ("You've hit your limit · resets 12pm (UTC)", at(2026, 12, 2, 12)),
        ("You've hit your limit · resets Dec 23 at 4pm (America/Recife)", at(2026, 12, 23, 19)),
        ("You've hit your limit. It resets Jan 2, 9am.", at(2027, 1, 2, 9)),
        ("You've hit your limit · resets December 3 at 9:05 AM", at(2026, 12, 3, 9, 5)),
        ("limit resets at 2026-12-05T06:00:00+02:00", at(2026, 12, 5, 4)),
        ("You've hit your 5-hour limit · resets Jan 10, 2027, 1:45pm (UTC)", at(2027, 1, 10, 13, 45)),
        ("spend limit reached · resets Dec 5", at(2026, 12, 5)),
        ("spend limit reached · resets Dec 5 · ask your admin", at(2026, 12, 5)),
        ("You've hit your limit. It resets at 3pm and not before.", at(2026, 12, 1, 15)),
        ("usage limit reached. Try again at 15:00 UTC", at(2026, 12, 1, 15)),
        ("usage limit reached. Try again at 15:00 CET", at(2026, 12, 1, 14)),
        ("usage limit reached. Try again on December 3, 2026 at 15:00 UTC", at(2026, 12, 3, 15)),
        ("usage limit reached · resets in 3h 20m", at(2026, 12, 1, 15, 20)),
        ("usage limit reached. Please try again in 2 hours and 5 minutes.", at(2026, 12, 1, 14, 5)),
        ("usage limit reached. Please try again in 2 months.", None),
        ("resets at 3pm PST", None),
        ("resets 15pm", None),
        ("resets Feb 30 at 4pm", None),
        ("usage limit reached", None),
        ("limit|17", None),
        ("resets 3pm (Middle/Earth)", None),
        ("regain access on 2026-13-45 at 00:00 UTC", None),
        ("resets Foo 3 at 4pm", None),
        ("resets 3pm (../../etc/passwd)", at(2026, 12, 1, 15)),
    ],
)
def test_the_time_in_a_text(text: str, told: float | None) -> None:
    """Dates, times of the day and the older CLI's seconds, each in its zone; what is no time says nothing."""
    assert reset_time(text, NOW) == told


@given(st.text(alphabet="resetsin 0123456789:-|apmhdUTCDecFeb()/._+at on,", max_size=60), st.floats(0, 4e9))
def test_no_text_fails(text: str, now: float) -> None:
    """Whatever a text says, it is a time or none."""
    told = reset_time(f"limit reached|{text} resets {text} 2026-{text}", now)
    assert told is None or told > 0
