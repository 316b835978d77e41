"""
What ``make`` says on a machine that lacks something, before it has made anything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def make(python: Path, *arguments: str) -> tuple[int, str]:
    """
    Run make with another Python, and return its exit status and what it says.
    """
    command = ["make", "--no-print-directory", f"PYTHON={python}", "WORKERS=1", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def script(path: Path, text: str) -> Path:
    """
    Write a shell script.
    """
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", ["demo", "serve", "test"])
def test_a_python_that_makes_no_environments(target: str, tmp_path: Path) -> None:
    """
    Debian's own Python lacks ensurepip until another package is installed; make names that and leaves nothing behind.
    """
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    python = script(tmp_path / "python", f'PYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"')
    status, said = make(python, target, f"VENV={tmp_path}/venv")

    assert status != 0
    assert "apt install python3-venv" in said
    assert "Traceback" not in said
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("target", ["demo", "serve", "test"])
def test_a_python_that_is_too_old(target: str, tmp_path: Path) -> None:
    """
    Make says which Python is needed, and how to name another.
    """
    python = script(tmp_path / "python", 'case "$*" in *version_info*) exit 1 ;; esac')
    status, said = make(python, target, f"VENV={tmp_path}/venv")

    assert status != 0
    assert "needs Python 3.11 or later" in said
    assert "PYTHON=" in said
    assert not (tmp_path / "venv").exists()
