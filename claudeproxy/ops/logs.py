"""
Log lines: one JSON object, or one line for people, per event; nothing in them that must not leave the daemon.

Levels are those of the settings, mapped to Twisted's: ``fatal`` is ``critical``, and ``trace`` are the ``debug`` events
that carry ``trace=True``.

An event that carries ``access``, a dict of fields that are fit to be written, is a line of the access log. There is one
for each request, so it takes the short way: no formatting, no redaction.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
from attrs import define, field
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from claudeproxy.ops.redaction import redact

__all__ = ["Threshold", "make_observer_factory"]

_RANKS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "error": 4, "fatal": 5, "silent": 6}
_NAMES = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warn",
    LogLevel.error: "error",
    LogLevel.critical: "fatal",
}
_NOT_FIELDS = frozenset(
    # What twisted.python.log, the older logging system, puts into its events.
    {"system", "isError", "failure", "why", "message", "time", "format", "logLevel", "printed"}
)
_FRAMES = 8
"""The innermost frames of a failure that are shown."""

_LONGEST_TEXT = 8192
"""Characters of a text that are written."""

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), "?")
"""What a terminal would obey, and what some readers take for the end of a line."""

_ESCAPES = {code: f"\\u{code:04x}" for code in _CONTROLS if code > 0x7F}
"""Those of them that JSON allows in a string as they are."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Threshold:
    """
    The least important level that is written: ``LOG_LEVEL``.
    """

    def __init__(self, level: str) -> None:
        self.use(level)

    def use(self, level: str) -> None:
        """
        Go by this level from now on.
        """
        self._rank = _RANKS[level]

    def is_logged(self, level: str) -> bool:
        """
        Whether events of ``level`` are written.
        """
        return _RANKS[level] >= self._rank


def make_observer_factory(threshold: Threshold, format: str) -> Callable[[TextIO], ILogObserver]:
    """
    Return what ``twist`` wants: a factory that makes the observer for the file it logs to.

    :param format: ``json`` or ``pretty``: ``LOG_FORMAT``.
    """
    render = _as_json if format == "json" else _as_text

    def factory(file: TextIO) -> ILogObserver:
        return _Observer(file, threshold, render)

    return factory


@implementer(ILogObserver)
@define(eq=False)
class _Observer:
    """
    Writes events to a file.
    """

    _file: TextIO
    _threshold: Threshold
    _render: Callable[[Mapping[str, Any]], str]
    _timestamps: _Timestamps = field(init=False, factory=lambda: _Timestamps())

    def __call__(self, event: LogEvent) -> None:
        level = _level(event)
        if not self._threshold.is_logged(level):
            return
        line: dict[str, Any] = {
            "time": self._timestamps.text(event["log_time"]),
            "level": level,
            "namespace": event.get("log_namespace", ""),
        }
        access = event.get("access")
        if access is not None:
            line["msg"] = f"{access['method']} {access['path']} {access['status']}"
            line.update(access)
        else:
            line["msg"] = _clean(formatEvent(event))
            line.update(_fields(event))
            failure = event.get("log_failure")
            if failure is not None:
                line["error"] = _clean(f"{failure.type.__name__}: {failure.getErrorMessage()}")
                line["trace"] = _short_trace(failure)
        self._file.write(self._render(line) + "\n")
        self._file.flush()


class _Timestamps:
    """
    Writes times in ISO 8601 with milliseconds, in UTC; all but those are made once a second.
    """

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, when: float) -> str:
        second = int(when)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{int((when - second) * 1000):03d}Z"


def _level(event: LogEvent) -> str:
    level = _NAMES.get(event.get("log_level"), "info")
    return "trace" if level == "debug" and event.get("trace") else level


def _fields(event: LogEvent) -> Iterator[tuple[str, Any]]:
    """
    Return what an event carries besides its message.
    """
    for name, value in event.items():
        if name.startswith("log_") or name in _NOT_FIELDS or name == "trace":
            continue
        yield name, value if isinstance(value, int | float | None) else _clean(str(value))


def _clean(text: str) -> str:
    """
    Return a text as it may be written: redacted, not endless, and without what has no UTF-8.
    """
    return redact(text)[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")


def _short_trace(failure: Failure) -> str:
    """
    Return where a failure came from, innermost last, without the paths of files.
    """
    frames = traceback.extract_tb(failure.getTracebackObject())[-_FRAMES:]
    return " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames)


def _as_json(line: Mapping[str, Any]) -> str:
    text = _encode(line).decode("utf-8")
    return text if text.isascii() else text.translate(_ESCAPES)


def _as_text(line: Mapping[str, Any]) -> str:
    # The message of an access line has said these already.
    said = ("time", "level", "namespace", "msg", *(("method", "path", "status") if "method" in line else ()))
    shown = {name: value for name, value in line.items() if name not in said}
    fields = "".join(f" {name}={value}" for name, value in shown.items())
    text = f"{line['time']} {line['level'].upper():5} {line['namespace']}: {line['msg']}{fields}"
    return text.replace("\n", " | ").translate(_CONTROLS)
