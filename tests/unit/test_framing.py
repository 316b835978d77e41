"""
Lines out of pieces.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeproxy.wire.framing import LineFramer, LineTooLong

fragments = st.sampled_from([b"\n", b"a", b"\r", b"\xc3", b"\xa9"])
pieces = st.lists(st.lists(fragments, max_size=8).map(b"".join), max_size=8)


def read(parts: Iterable[bytes], max_line: int) -> tuple[list[bytes], bytes | None]:
    """
    Return the lines and the rest, or None for the rest when a line was too long.
    """
    framer = LineFramer(max_line)
    lines: list[bytes] = []
    for part in parts:
        try:
            lines += framer.feed(part)
        except LineTooLong as error:
            return lines + error.lines, None
    return lines, framer.eof()


@given(pieces)
def test_any_cut_gives_the_same_lines(parts: list[bytes]) -> None:
    """However the bytes are cut, the lines are those between the newlines, and the rest is what follows the last."""
    *lines, rest = b"".join(parts).split(b"\n")

    assert read(parts, 1000) == (lines, rest)


@given(pieces, st.integers(0, 6))
def test_any_cut_gives_the_same_lines_before_one_that_is_too_long(parts: list[bytes], max_line: int) -> None:
    """The reader gets every line before the one that breaks the limit, however the bytes are cut."""
    whole = read([b"".join(parts)], max_line)

    assert read(parts, max_line) == whole
    assert all(len(line) <= max_line for line in whole[0])


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_limit_is_exact(size: int, end: bytes) -> None:
    """A line of exactly the limit passes, finished or not; one byte more does not."""
    line = b"x" * 64
    for start in range(0, 64, size):
        fits, over = LineFramer(64), LineFramer(63)
        fits.feed(line[:start])
        over.feed(line[:start])

        assert b"".join([*fits.feed(line[start:] + end), fits.eof()]) == line
        with pytest.raises(LineTooLong) as caught:
            over.feed(line[start:] + end)
        assert (caught.value.limit, caught.value.lines) == (63, [])


def test_the_rest_is_handed_out_once() -> None:
    """What came after the last newline is there at the end of the stream, and only once."""
    framer = LineFramer(10)

    assert framer.feed(b"one\ntw") == [b"one"]
    assert framer.feed(b"o") == []
    assert framer.eof() == b"two"
    assert framer.eof() == b""


class BytesCounter:
    """
    A profiler that counts the bytes which methods of bytes objects go through, and how often pieces are joined.
    """

    def __init__(self) -> None:
        self.searched = 0
        self.joined = 0

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        """
        Look at one call; those into C come with the bound method.
        """
        if event == "c_call" and isinstance(subject := getattr(called, "__self__", None), bytes | bytearray):
            self.searched += len(subject)
            self.joined += called.__name__ == "join"


def test_a_huge_line_in_small_pieces_is_read_in_linear_time() -> None:
    """Of 16 MiB in pieces of 8 KiB no byte is searched twice, and the pieces are joined once."""
    framer = LineFramer(16 * 1024 * 1024)
    counter = BytesCounter()
    sys.setprofile(counter)
    try:
        lines = [line for _ in range(2048) for line in framer.feed(b"x" * 8192)] + framer.feed(b"\n")
    finally:
        sys.setprofile(None)

    assert [len(line) for line in lines] == [16 * 1024 * 1024]
    assert counter.searched == 16 * 1024 * 1024 + 1
    assert counter.joined == 1
