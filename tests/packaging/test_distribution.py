"""
What is built from the checkout, and whether it runs.

The builds are made from a copy, so that no build directory or metadata of an earlier one is taken for a source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from claudeproxy.config import SETTINGS

PROJECT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """
    Run a command that must succeed, without a setting of ours in its environment, and return what it printed.
    """
    environ = {name: value for name, value in os.environ.items() if name.removeprefix("CLAUDEPROXY_") not in SETTINGS}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A copy of what a distribution is made from.
    """
    copy = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy)
    for name in ("claudeproxy", "twisted"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """
    The wheel, made as a release makes it: from the source distribution, which must therefore be complete.
    """
    run(sys.executable, "-m", "build", cwd=sources)
    (built,) = (sources / "dist").glob("*.whl")
    return built


def fresh_environment(directory: Path) -> Path:
    """
    Make a virtual environment that has our dependencies, but not us, and return its Python.

    A path file lends it the libraries of this environment. The path files in there are not read, so an editable install
    of the checkout stays out.
    """
    venv.create(directory, with_pip=False, symlinks=True)
    (site_packages,) = directory.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "bin" / "python"


def install(python: Path, *what: str | Path, cwd: Path) -> None:
    command = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*command, "--no-deps", "--ignore-installed", *what, cwd=cwd)


def assert_twist_knows_us(python: Path, cwd: Path, home: Path) -> None:
    """
    The command of Twisted lists ours and runs it as far as it goes without starting anything; both the package and the
    plugin are those below ``home``.
    """
    lines = run(python, "-m", "twisted", "--help", cwd=cwd).splitlines()
    assert [line for line in lines if line.split()[:1] == ["claudeproxy"]]
    checked = run(python, "-m", "twisted", "claudeproxy", "--check-config", cwd=cwd)
    assert checked == "configuration is valid\n"
    for module in ("claudeproxy", "twisted.plugins.claudeproxy_plugin"):
        file = run(python, "-c", f"import {module} as module; print(module.__file__)", cwd=cwd)
        assert Path(file).is_relative_to(home)


def test_wheel_holds_the_packages_and_the_plugin(wheel: Path, sources: Path) -> None:
    """
    The wheel has every module of ours, the type marker and the plugin; it has no twisted/__init__.py, which would hide
    Twisted itself, and no tests.
    """
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {str(path.relative_to(sources)) for path in sources.glob("claudeproxy/**/*.py")}
    assert held == ours | {"claudeproxy/py.typed", "twisted/plugins/claudeproxy_plugin.py"}


def test_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    """
    In a fresh environment the installed wheel is found by ``twist``.
    """
    python = fresh_environment(tmp_path / "fresh")
    install(python, "--no-index", wheel, cwd=tmp_path)
    assert_twist_knows_us(python, tmp_path, tmp_path)


def test_editable_install_runs(sources: Path, tmp_path: Path) -> None:
    """
    An editable install is found by ``twist`` too.
    """
    python = fresh_environment(tmp_path / "fresh")
    install(python, "--editable", sources, cwd=tmp_path)
    assert_twist_knows_us(python, tmp_path, sources)


def test_checkout_runs_without_an_install(sources: Path, tmp_path: Path) -> None:
    """
    ``python -m claudeproxy`` works in a checkout that nothing was installed from.
    """
    python = fresh_environment(tmp_path / "fresh")
    assert run(python, "-m", "claudeproxy", "--check-config", cwd=sources) == "configuration is valid\n"
