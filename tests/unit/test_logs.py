"""
What the log looks like, and what is not in it.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from claudeproxy.ops.logs import Threshold, make_observer_factory

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "silent")


def written(level: str = "info", format: str = "json", **event: Any) -> str:
    """What one event of Twisted's logger becomes."""
    file = StringIO()
    observer = make_observer_factory(Threshold(level), format)(file)
    logger = Logger(namespace="tests", observer=lambda event: observer({**event, "log_time": 1.5}))
    logger.emit(event.pop("at", LogLevel.info), event.pop("says", "Hello {name}."), **{"name": "you", **event})
    return file.getvalue()


def line(**event: Any) -> dict[str, Any]:
    """The one JSON object that an event becomes."""
    text = written(**event)
    assert text.endswith("\n") and "\n" not in text[:-1] and "\x1e" not in text
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def test_a_line() -> None:
    """An event is one JSON object on one line: when, how bad, who, what, and its fields."""
    assert {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "namespace": "tests",
        "msg": "Hello you.",
        "name": "you",
        "count": 3,
        "ratio": 0.5,
        "ok": True,
        "none": None,
        "what": "[1]",
    } == line(count=3, ratio=0.5, ok=True, none=None, what=[1])


def test_a_line_for_people() -> None:
    """In the pretty form an event is one line of text, and nothing in it that a terminal would obey."""
    text = written(format="pretty", says="Hello\nyou.\x1b[2J", n=1)

    assert "1970-01-01T00:00:01.500Z INFO  tests: Hello | you.?[2J name=you n=1\n" == text


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_a_line_stays_one(format: str) -> None:
    """What a client writes ends no line for any reader, and commands no terminal."""
    text = written(format=format, name="\u2028a\u2029b\x85c\x9b2Jd\u00e9")

    assert [text.removesuffix("\n")] == text.splitlines()
    assert "\x9b" not in text and "\u00e9" in text
    if format == "json":
        assert "\u2028a\u2029b\x85c\x9b2Jd\u00e9" == json.loads(text)["name"]


@pytest.mark.parametrize("threshold", LEVELS)
@pytest.mark.parametrize(
    ("level", "event"),
    [
        ("trace", {"at": LogLevel.debug, "trace": True}),
        ("debug", {"at": LogLevel.debug}),
        ("info", {"at": LogLevel.info}),
        ("warn", {"at": LogLevel.warn}),
        ("error", {"at": LogLevel.error}),
        ("fatal", {"at": LogLevel.critical}),
    ],
)
def test_levels(threshold: str, level: str, event: dict[str, Any]) -> None:
    """Only events of the set level and those worse are written, under the names of the setting."""
    text = written(level=threshold, **event)

    assert (LEVELS.index(level) >= LEVELS.index(threshold)) == bool(text) == Threshold(threshold).is_logged(level)
    if text:
        assert level == json.loads(text)["level"]


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_nothing_secret(format: str) -> None:
    """Messages, fields and failures are redacted."""
    key = "sk-ant-" + "api03-" + "aB3dE6gH" * 5
    try:
        raise ValueError(f"bad key {key} in /etc/claudeproxy/secrets.toml")
    except ValueError:
        failure = Failure()
    text = written(level="trace", format=format, says="{name}", name=key, other=[key], log_failure=failure)

    assert key not in text
    assert "/etc/" not in text


def test_a_failure() -> None:
    """A failure is its type, its words and where it came from, on the same line and without the paths of files."""
    try:
        raise ValueError("no good")
    except ValueError:
        failure = Failure()

    assert "ValueError: no good" == line(log_failure=failure)["error"]
    trace = line(log_failure=failure)["trace"]
    assert trace.startswith("test_a_failure:")
    assert "/" not in trace


@pytest.mark.parametrize("says", ["\ud800", "a\nb", "x" * 100_000, "{missing}"])
def test_odd_texts(says: str) -> None:
    """A text with lone surrogates, line ends, no end, or a broken format is written as well as it can be."""
    assert 10_000 > len(line(says=says)["msg"]) > 0


def test_the_older_logger() -> None:
    """An event of ``twisted.python.log`` has its message and none of its bookkeeping."""
    event = {
        "message": ("old",),
        "time": 1.5,
        "system": "-",
        "isError": 0,
        "log_text": "old",
        "log_format": "{log_text}",
        "log_time": 1.5,
        "log_level": LogLevel.info,
        "log_namespace": "log_legacy",
    }
    file = StringIO()
    make_observer_factory(Threshold("info"), "json")(file)(event)

    assert {"time", "level", "namespace", "msg"} == set(json.loads(file.getvalue()))


def test_an_access_line() -> None:
    """A line of the access log has its fields as they are."""
    access = {"method": "GET", "path": "/health", "status": 200}

    assert {"msg": "GET /health 200", **access}.items() <= line(access=access).items()
