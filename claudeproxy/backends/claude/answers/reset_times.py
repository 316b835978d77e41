"""
When a usage limit is reset, as the text of a refusal says it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["reset_time"]

_EPOCH = re.compile(r"limit reached\|([0-9]{10})\b", re.IGNORECASE)
_ZONE = r"(?:\s?\(?(?P<zone>[A-Za-z]{1,20}(?:[/_+-][A-Za-z0-9_+-]{1,40})*)\)?)?"
_DATE = re.compile(
    r"\b(?P<year>20[0-9]{2})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:(?: at |T| )(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::[0-9]{2}(?:\.[0-9]{1,9})?)?" + _ZONE + ")?"
)
"""For example ``2026-12-05 at 00:00 UTC``."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = re.compile(
    r"resets?(?: at| on)? (?:(?P<month>[A-Za-z]{3})[a-z]{0,6} (?P<day>[0-9]{1,2}),?(?: at)? )?"
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))? ?(?P<half>[ap])\.?m\b" + _ZONE,
    re.IGNORECASE,
)
"""For example ``resets 1:21pm (UTC)`` and ``resets Apr 23 at 4pm (America/Recife)``."""


def reset_time(text: str, now: float) -> float | None:
    """
    Return when the limit is reset, in seconds since the epoch, if ``text`` says so.

    A date without a time is its beginning, and one without a zone is in UTC. A time without a date is the next one, and
    a date without a year the next such date.

    :param now: seconds since the epoch.
    """
    told = _EPOCH.search(text)
    if told is not None:
        return float(told[1])
    found = _DATE.search(text)
    try:
        if found is not None:
            hour, minute = int(found["hour"] or 0), int(found["minute"] or 0)
            date = int(found["year"]), int(found["month"]), int(found["day"])
            return datetime(*date, hour, minute, tzinfo=_zone(found["zone"])).timestamp()
        found = _TIME.search(text)
        return None if found is None else _next(found, now)
    except (ValueError, OverflowError):
        return None


def _next(found: re.Match[str], now: float) -> float:
    """
    :raises ValueError: there is no such time.
    """
    here = datetime.fromtimestamp(now, _zone(found["zone"]))
    hour = int(found["hour"]) % 12 + (12 if found["half"].lower() == "p" else 0)
    time = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
    if found["month"] is None:
        return (time if time > here else time + timedelta(days=1)).timestamp()
    month = _MONTHS.index(found["month"].lower()) + 1
    date = time.replace(month=month, day=int(found["day"]))
    return (date if date > here - timedelta(days=1) else date.replace(year=date.year + 1)).timestamp()


def _zone(name: str | None) -> tzinfo:
    """
    :raises ValueError: the name is not one of a zone.
    """
    if name is None or name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, OSError) as error:
        raise ValueError(name) from error
