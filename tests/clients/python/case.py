"""
What the programs beside this one share: where to ask what, and how a case is run.

Each is ``<client>.py CASE``; it reads ``BASE_URL``, ``API_KEY``, ``MODEL``, ``PROMPT`` and ``IMAGE`` (a file) from its
environment and prints what it saw as one line of JSON.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
MODEL = os.environ["MODEL"]
PROMPT = os.environ["PROMPT"]
IMAGE = Path(os.environ["IMAGE"])

PATIENCE = 60
"""Seconds that a case may take."""

_cases: dict[str, Callable[[], Any]] = {}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def image_url() -> str:
    """Return the image as a data URL."""
    return f"data:image/png;base64,{b64encode(IMAGE.read_bytes()).decode()}"


def ran(command: Sequence[str], directory: Path | None = None, **environ: str) -> str:
    """Run a client that is a command, and return what it wrote."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE - 5,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Let a function, async or not, be run by its name."""
    _cases[function.__name__] = function
    return function


def main() -> None:
    """Run the case that the command line names and print what it returned; say where it hangs if it does."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    saw = _cases[sys.argv[1]]()
    if inspect.isawaitable(saw):
        saw = asyncio.run(saw)
    print(json.dumps(saw))
