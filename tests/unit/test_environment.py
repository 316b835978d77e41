"""
Where the CLI is found, and what is left of daemons that were killed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from claudeproxy.backends.claude.processes.environment import Launcher, locate_cli
from claudeproxy.config import load


def executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/true\n")
    path.chmod(0o755)
    return str(path)


def launcher(path: str = "claude", **environ: str) -> Launcher:
    return Launcher(load({}, {"CLAUDE_PATH": path, **environ}).claude, {"PATH": os.defpath, **environ}, "sonnet")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    """CLAUDE_PATH with a slash is that file, or nothing."""
    path = executable(tmp_path / "bin" / "my-claude")

    assert locate_cli(path, None) == path
    assert locate_cli(path + "-not", None) is None
    (tmp_path / "bin" / "my-claude").chmod(0o644)
    assert locate_cli(path, None) is None


def test_a_name_is_looked_for_on_the_path(tmp_path: Path) -> None:
    """CLAUDE_PATH without a slash is found on PATH."""
    path = executable(tmp_path / "bin" / "claude")

    assert locate_cli("claude", str(tmp_path / "bin")) == path
    assert locate_cli("other", str(tmp_path / "bin")) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"ANTHROPIC_API_KEY": "k"}, True),
        ({"ANTHROPIC_AUTH_TOKEN": "t"}, True),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t"}, True),
        ({"CLAUDE_LOGIN": "true"}, True),
        ({"CLAUDE_ENV_PASSTHROUGH": "HTTPS_PROXY"}, False),
        ({"CLAUDE_ENV_PASSTHROUGH": "HTTPS_PROXY,AWS_PROFILE,CLAUDE_CODE_USE_BEDROCK"}, True),
    ],
)
def test_what_counts_as_credentials(environ: dict[str, str], expected: bool) -> None:
    """A CLI that nobody could have logged in is known before it is started."""
    assert load({}, environ).claude.has_credentials is expected


def test_without_one_on_the_path_the_wheels_is_used(tmp_path: Path) -> None:
    """The CLI that the wheel claude-agent-sdk carries is the last resort."""
    pytest.importorskip("claude_agent_sdk")
    found = locate_cli("claude", str(tmp_path))

    assert found is not None
    assert found.endswith(os.path.join("claude_agent_sdk", "_bundled", "claude"))


def test_with_a_key_the_cli_is_bare_and_at_home_nowhere() -> None:
    """With an API key the CLI has a configuration directory and a home of its own, and adds nothing of the host."""
    made = launcher(ANTHROPIC_API_KEY="k", HOME="/home/somebody")
    launch = made.prepare("/cli")

    assert "--bare" in launch.arguments
    assert launch.environment["CLAUDE_CONFIG_DIR"] == str(launch.scratch / "c")
    assert "somebody" not in "".join(launch.environment.values())
    made.clean_up()
    assert not launch.scratch.exists()


def test_with_a_token_the_cli_is_not_bare() -> None:
    """A subscription's token is not known to a bare CLI; its directories are its own all the same."""
    made = launcher(CLAUDE_CODE_OAUTH_TOKEN="t")
    launch = made.prepare("/cli")

    assert "--bare" not in launch.arguments
    assert launch.environment["CLAUDE_CODE_OAUTH_TOKEN"] == "t"
    assert launch.environment["CLAUDE_CONFIG_DIR"] == str(launch.scratch / "c")
    made.clean_up()


def test_with_its_own_login_the_cli_uses_its_own_directory(tmp_path: Path) -> None:
    """With CLAUDE_LOGIN the CLI finds the login that the operator made: home and configuration are the real ones."""
    made = launcher(CLAUDE_LOGIN="true", HOME=str(tmp_path))
    launch = made.prepare("/cli")

    assert launch.environment["HOME"] == str(tmp_path)
    assert "CLAUDE_CONFIG_DIR" not in launch.environment
    made.clean_up()


def test_what_a_killed_daemon_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of daemons that no longer run go; those of running ones, and what is not a daemon's, stay."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("cp-dead", "cp-notes", "other"):
        (tmp_path / name / "w").mkdir(parents=True)
    (tmp_path / "cp-dead" / "lock").touch()
    running, starting = launcher(ANTHROPIC_API_KEY="k"), launcher(ANTHROPIC_API_KEY="k")
    theirs = running.prepare("/cli").scratch.parent
    starting.prepare("/cli")
    starting.clean_up()

    assert {path.name for path in tmp_path.iterdir()} == {theirs.name, "cp-notes", "other"}
    running.clean_up()


def test_a_directory_that_was_cleaned_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tidies the system's temporary files does not keep processes from starting."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = launcher(ANTHROPIC_API_KEY="k")
    shutil.rmtree(made.prepare("/cli").scratch.parent)

    assert made.prepare("/cli").working_directory.is_dir()
    made.clean_up()


def test_a_launch_does_not_show_its_credentials() -> None:
    """What is logged or printed of a launch holds no key."""
    made = launcher(ANTHROPIC_API_KEY="sk-ant-hidden")
    launch = made.prepare("/cli")
    made.clean_up()

    assert launch.environment["ANTHROPIC_API_KEY"] == "sk-ant-hidden"
    assert "sk-ant-hidden" not in repr(launch)
