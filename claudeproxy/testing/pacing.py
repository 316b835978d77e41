"""
A directive turned into steps: its pace and its faults, for either API's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from claudeproxy.testing.directives import Directive
from claudeproxy.testing.playing import End, Pause, RawAnswer, Step, json_bytes

__all__ = ["Headers", "silent", "streamed", "whole"]

Headers = tuple[tuple[bytes, bytes], ...]

_STREAM = ((b"Content-Type", b"text/event-stream; charset=utf-8"), (b"Cache-Control", b"no-cache"))


def silent() -> RawAnswer:
    """
    Return the answer that never comes.
    """
    return RawAnswer(None, steps=(End.STALL,))


def streamed(
    directive: Directive,
    *,
    headers: Headers,
    opening: Iterable[bytes],
    deltas: Iterable[Sequence[bytes]],
    closing: Iterable[bytes],
    error: bytes,
    every: float,
) -> RawAnswer:
    """
    Return an answer of events, each written on its own.

    :param deltas: for each delta its events, mostly the one.
    :param error: the event that ``error-after`` asks for.
    :param every: seconds between deltas when the directive does not say.
    """

    def steps() -> Iterator[Step]:
        yield from opening
        yield from _paced(directive, deltas, error, every if directive.every is None else directive.every)
        yield from closing

    return RawAnswer(200, (*headers, *_STREAM), steps(), chunked=True, delay=directive.delay)


def _paced(directive: Directive, deltas: Iterable[Sequence[bytes]], error: bytes, every: float) -> Iterator[Step]:
    if directive.hang:
        yield End.STALL
    if directive.silence:
        yield Pause(directive.silence)
    for number, events in enumerate(deltas):
        if number == directive.die_after:
            break
        if number == directive.error_after:
            yield error
            yield End.FINISH
        if number and every:
            yield Pause(every)
        yield from events
    if directive.die_after is not None:
        yield End.CLOSE  # unlike a reset it leaves the client what it has not read yet


def whole(directive: Directive, *, headers: Headers, value: Any, deltas: int, every: float) -> RawAnswer:
    """
    Return an answer in one JSON body, after the time that ``deltas`` deltas would take.
    """
    body = json_bytes(value)
    length = (b"Content-Length", b"%d" % len(body))
    waiting = directive.silence + (every if directive.every is None else directive.every) * max(0, deltas - 1)
    steps: tuple[Step, ...] = (body,)
    if directive.hang:
        steps = (End.STALL,)
    elif directive.die_after is not None:
        steps = (body[: len(body) // 2], End.CLOSE)
    head = (*headers, (b"Content-Type", b"application/json"), length)
    return RawAnswer(200, head, steps, delay=directive.delay + waiting)
