"""
What the programs beside this one share: where to ask, and how their cases are run.

Each is run as ``<client>_client.py '{"<case>": "<prompt>", ...}'``, with ``BASE_URL``, ``API_KEY``, ``MODEL`` and
``IMAGE`` (a file) in its environment. It prints a line of JSON for each case: what it saw, or what was thrown.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import io
import json
import os
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pydantic import BaseModel

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
MODEL = os.environ["MODEL"]
IMAGE = Path(os.environ["IMAGE"])

RECIPES = Path(__file__).parents[3] / "docs" / "howto" / "python-clients.md"
PATIENCE = 60
"""Seconds that a case may take."""

_cases: dict[str, Callable[[str], Any]] = {}


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


def scratch() -> Path:
    """Return an empty directory."""
    return Path(mkdtemp(dir=os.environ["HOME"]))


def ran(command: Sequence[str], directory: Path, **environ: str) -> str:
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
    return done.stdout.strip()


def documented(heading: str, language: str) -> str:
    """Return the first block of a language below a heading of the recipes, with this daemon's address and key in it."""
    section = RECIPES.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    block = section.partition(f"\n```{language}\n")[2].partition("```")[0]
    assert block, f"no {language} below {heading}"
    return block.replace("http://127.0.0.1:3456/v1", BASE_URL).replace("my-secret", API_KEY)


def printed(program: str) -> str:
    """Run a program in Python, and return what it printed."""
    with redirect_stdout(io.StringIO()) as out:
        exec(program, {"__name__": "__main__"})
    return out.getvalue().strip()


def case(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let a function of the prompt, async or not, be run by its name; it returns what it saw."""
    _cases[function.__name__] = function
    return function


def main() -> None:
    """Run the cases that the command line names; one that hangs ends them all and says where."""
    with asyncio.Runner() as runner:
        for name, prompt in json.loads(sys.argv[1]).items():
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                saw = _cases[name](prompt)
                outcome = {"seen": runner.run(saw) if inspect.iscoroutine(saw) else saw}
            except Exception:
                outcome = {"thrown": traceback.format_exc()}
            print(json.dumps({"case": name, **outcome}), flush=True)
    faulthandler.cancel_dump_traceback_later()
