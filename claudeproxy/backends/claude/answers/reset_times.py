"""
When a usage limit is reset, as the text of a refusal says it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["reset_time"]

_EPOCH = re.compile(r"limit reached\|([0-9]{10})\b", re.IGNORECASE)

_ZONE = (
    r"(?:\s?(?:\((?P<name>[A-Za-z]{1,20}(?:[/_+-][A-Za-z0-9_+-]{1,40})*)\)"
    r"|(?P<bare>Z|[A-Z]{3,4}|[A-Z][A-Za-z]{1,20}/[A-Za-z0-9_+/-]{1,40})\b|(?P<offset>[+-][0-9]{2}:?[0-9]{2})))?"
)
_ISO = re.compile(
    r"\b(?P<year>20[0-9]{2})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:(?: at |T| )(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::[0-9]{2}(?:\.[0-9]{1,9})?)?" + _ZONE + ")?"
)
"""For example ``2026-12-05 at 00:00 UTC``."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_AGAIN = r"\b(?i:resets?|again|access)(?i: at| on| after)? "
_CLOCK = (
    r"(?P<hour>[0-9]{1,2})(?:(?::(?P<minute>[0-9]{2}))? ?(?P<half>[apAP])\.?[mM]\b|:(?P<minutes>[0-9]{2})\b)" + _ZONE
)
_DAY = re.compile(
    _AGAIN + r"(?P<month>[A-Za-z]{3})[a-z]{0,6}\.? (?P<day>[0-9]{1,2})\b(?:,? (?P<year>20[0-9]{2})\b)?"
    r"(?:(?:,| at|, at)? " + _CLOCK + ")?"
)
"""For example ``resets Apr 23 at 4pm (America/Recife)``, ``resets Jan 10, 2027, 1:45pm (UTC)`` and ``resets Dec 5``."""
_TIME = re.compile(_AGAIN + _CLOCK)
"""For example ``resets 1:21pm (UTC)`` and ``try again at 15:00 UTC``."""

_UNIT = r"(?:d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)\b"
_PIECE = re.compile(rf"([0-9]{{1,4}}) ?({_UNIT})", re.IGNORECASE)
_IN = re.compile(rf"\b(?:resets?|again|access) in (?:[0-9]{{1,4}} ?{_UNIT}(?:,? (?:and )?)?){{1,4}}", re.IGNORECASE)
"""For example ``resets in 3h 20m``."""
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


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
    try:
        if (found := _ISO.search(text)) is not None:
            date = int(found["year"]), int(found["month"]), int(found["day"])
            return datetime(*date, int(found["hour"] or 0), int(found["minute"] or 0), tzinfo=_zone(found)).timestamp()
        if (found := _DAY.search(text)) is not None and found["month"].lower() in _MONTHS:
            return _on_day(found, now)
        if (found := _TIME.search(text)) is not None:
            here = datetime.fromtimestamp(now, _zone(found))
            time = _at_clock(here, found)
            return (time if time > here else time + timedelta(days=1)).timestamp()
        if (found := _IN.search(text)) is not None:
            return now + sum(float(number) * _SECONDS[unit[0].lower()] for number, unit in _PIECE.findall(found[0]))
    except (ValueError, OverflowError):
        pass
    return None


def _on_day(found: re.Match[str], now: float) -> float:
    """
    :raises ValueError: there is no such date.
    """
    here = datetime.fromtimestamp(now, _zone(found))
    month, day = _MONTHS.index(found["month"].lower()) + 1, int(found["day"])
    if found["year"] is not None:
        return _at_clock(here.replace(year=int(found["year"]), month=month, day=day), found).timestamp()
    date = _at_clock(here.replace(month=month, day=day), found)
    return (date if date > here - timedelta(days=1) else date.replace(year=date.year + 1)).timestamp()


def _at_clock(date: datetime, found: re.Match[str]) -> datetime:
    """
    :raises ValueError: there is no such time.
    """
    hour, minute = int(found["hour"] or 0), int(found["minute"] or found["minutes"] or 0)
    if found["half"] is not None:
        if not 1 <= hour <= 12:
            raise ValueError(found[0])
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    return date.replace(hour=hour, minute=minute, second=0, microsecond=0)


def _zone(found: re.Match[str]) -> tzinfo:
    """
    :raises ValueError: the name is not one of a zone.
    """
    if found["offset"] is not None:
        sign = -1 if found["offset"][0] == "-" else 1
        return timezone(sign * timedelta(hours=int(found["offset"][1:3]), minutes=int(found["offset"][-2:])))
    name = found["name"] or found["bare"]
    if name is None or name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, OSError) as error:
        raise ValueError(name) from error
