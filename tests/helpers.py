"""
Helpers for tests: a CLI to start, the real one or the scripted one, and a disk that is full.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(__file__).parent / "bin" / "scripted_claude.py"

MODES = (
    "normal",
    "another-protocol",  # answers what nobody understands
    "deaf",  # answers no control request
    "dies-at-start",
    "dies-mid-turn",
    "fails",  # ends the turn with the API's error
    "floods-stderr",
    "garbage",
    "hangs-before-turn",
    "hangs-mid-turn",
    "holds-stdout",  # has a child that keeps its stdout open
    "huge-line",
    "wrong-session-id",
)


def real_cli() -> str:
    """
    Return the path of the real CLI in the wheel ``claude-agent-sdk``; skip the test where it is not installed.
    """
    wheel = find_spec("claude_agent_sdk")
    for directory in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        bundled = Path(directory) / "_bundled" / "claude"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    pytest.skip("the wheel claude-agent-sdk, which holds the real CLI, is not installed")


def scripted_cli(directory: Path, mode: str = "normal", **options: Any) -> str:
    """
    Write an executable that behaves as ``mode`` and ``options`` (see ``tests/bin/scripted_claude.py``) say.

    It keeps a log beside itself; :func:`scripted_log` reads it.
    """
    assert mode in MODES, f"no mode {mode!r}"
    wrapper = directory / f"claude-{mode}"
    script = json.dumps({"mode": mode, "log": f"{wrapper}.log", **options})
    # Isolated and without site packages it starts in a third of the time.
    command = shlex.join([sys.executable, "-I", "-S", str(_SCRIPT), script])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


def scripted_log(cli: str) -> list[dict[str, Any]]:
    """
    Return what the processes of a scripted CLI wrote down: dicts with ``pid`` and ``event``.

    ``start`` (``argv``, ``cwd``, ``env``), ``line`` (one decoded ``line`` of stdin), ``child`` (the pid of a ``child``
    that holds stdout).
    """
    log = Path(f"{cli}.log")
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """
    Let no file of this process grow beyond ``room`` bytes, as if the disk were full.
    """
    before = full_disk_of(os.getpid(), room)
    try:
        yield
    finally:
        full_disk_of(os.getpid(), before)


def full_disk_of(pid: int, room: int) -> int:
    """
    Let no file of a process, or of one that it starts, grow beyond ``room`` bytes; return what it was allowed before.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    return resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, hard))[0]
