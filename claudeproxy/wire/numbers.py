"""
JSON whose numbers are kept.

Claude Code is written in JavaScript, which reads every number as a double: of ``12345678901234567890`` it knows no more
than the first digits, and of ``1e400`` nothing. What is sent through it must hold no such number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["LongNumber", "decode_kept", "keeps_numbers"]

_SUSPECT = re.compile(r"[0-9]{16}|[eE][+-]?[0-9]{3}")
"""What a number that no double holds cannot do without; so do many texts that have none."""
_ZERO = re.compile(r"-?[0.]+(?:[eE].*)?")
_LONGEST = 400
"""Digits of an integer that a double may hold."""


class LongNumber(str):
    """
    A number that no double holds, as it was written.
    """

    __slots__ = ()


def decode_kept(text: str | bytes, long: Callable[[str], str] = LongNumber) -> Any:
    """
    Decode JSON; each number that no double holds becomes a string of its digits.

    :param long: makes it of them.

    :raises ValueError: it is no JSON.
    :raises RecursionError: it nests too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if _SUSPECT.search(text) is None:
        return msgspec.json.decode(text)
    return json.loads(
        text,
        parse_int=lambda written: long(written) if _is_long_integer(written) else int(written),
        parse_float=lambda written: long(written) if _is_long(written) else float(written),
        parse_constant=_no_number,
    )


def keeps_numbers(text: str) -> bool:
    """
    Whether doubles hold all numbers of a text that is JSON. One that is none has no numbers.
    """
    if _SUSPECT.search(text) is None:
        return True
    long: list[str] = []

    def note(written: str) -> str:
        long.append(written)
        return written

    try:
        decode_kept(text, note)
    except (ValueError, RecursionError):
        return True
    return not long


def _is_long_integer(text: str) -> bool:
    if len(text) > _LONGEST:
        return True
    number = int(text)
    try:
        # JavaScript writes the shortest digits that lead to the same double, and zeros behind them.
        return abs(number) > 2**53 and Decimal(repr(float(number))) != number
    except OverflowError:
        return True


def _is_long(text: str) -> bool:
    number = float(text)
    return not math.isfinite(number) or (number == 0 and not _ZERO.fullmatch(text))


def _no_number(text: str) -> Any:
    raise ValueError(f"JSON has no {text}")
