"""
JSON whose numbers are kept.

Claude Code is written in JavaScript, which reads every number as a double: of ``12345678901234567890`` it knows no more
than the first digits, and of ``1e400`` nothing. What is sent through it must hold no such number.
"""

from __future__ import annotations

import json
import math
import re
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


def decode_kept(text: str | bytes) -> Any:
    """
    Decode JSON; each number that no double holds becomes a :class:`LongNumber`.

    :raises ValueError: it is no JSON.
    :raises RecursionError: it nests too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if _SUSPECT.search(text) is None:
        return msgspec.json.decode(text)
    return json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_no_number)


def keeps_numbers(text: str) -> bool:
    """
    Whether doubles hold all numbers of a text that is JSON. One that is none has no numbers.
    """
    if _SUSPECT.search(text) is None:
        return True
    long: list[str] = []

    def note(written: str, number: object) -> object:
        if isinstance(number, LongNumber):
            long.append(written)
        return number

    try:
        json.loads(
            text,
            parse_int=lambda written: note(written, _integer(written)),
            parse_float=lambda written: note(written, _number(written)),
        )
    except (ValueError, RecursionError):
        return True
    return not long


def _integer(text: str) -> int | LongNumber:
    if len(text) > _LONGEST:
        return LongNumber(text)
    number = int(text)
    try:
        # JavaScript writes the shortest digits that lead to the same double, and zeros behind them.
        return number if abs(number) <= 2**53 or Decimal(repr(float(number))) == number else LongNumber(text)
    except OverflowError:
        return LongNumber(text)


def _number(text: str) -> float | LongNumber:
    number = float(text)
    if not math.isfinite(number) or (number == 0 and not _ZERO.fullmatch(text)):
        return LongNumber(text)
    return number


def _no_number(text: str) -> Any:
    raise ValueError(f"JSON has no {text}")
