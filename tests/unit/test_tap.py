"""
The command line, as a process of its own sees it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.application.twist._options import TwistOptions
from twisted.logger import LogLevel, textFileLogObserver

import claudeproxy
from claudeproxy.config.document import describe
from claudeproxy.tap import Options

CHECKOUT = str(Path(claudeproxy.__file__).parent.parent)


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """
    Run ``python -m`` with the arguments and nothing else in the environment, next to the package.
    """
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=environ or {}, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--port=x"], {}, "PORT (option --port): must be a whole number from 0 to 65535, not 'x'"),
        ([], {"PORT": "x"}, "PORT (environment PORT): must be a whole number from 0 to 65535, not 'x'"),
        (["--prot=1"], {}, "option --prot not recognized; twist claudeproxy --help lists the options"),
        (["--port"], {}, "option --port requires argument; twist claudeproxy --help lists the options"),
        (["serve"], {}, "Wrong number of arguments; twist claudeproxy --help lists the options"),
        (["--check-config", "--config=/nowhere"], {}, "CONFIG (option --config): cannot read '/nowhere': No such file"),
    ],
)
def test_mistake_ends_with_one_line_and_status_1(arguments: list[str], environ: dict[str, str], said: str) -> None:
    """
    A mistake in the configuration or on the command line: one line on stderr, nothing on stdout, status 1.
    """
    done = run("claudeproxy", *arguments, environ=environ)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"claudeproxy: {said}")
    assert done.stderr.count("\n") == 1


def test_twist_command_is_the_same() -> None:
    """
    ``twist claudeproxy`` answers as ``python -m claudeproxy`` does.
    """
    done = run("twisted", "claudeproxy", "--port=x")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "claudeproxy: PORT (option --port): must be a whole number from 0 to 65535, not 'x'\n",
    )


def test_check_config() -> None:
    """
    ``--check-config`` says that all is well and starts nothing.
    """
    environ = {"ANTHROPIC_API_KEY": "x", "CLAUDE_PATH": sys.executable, "MODEL_MAP": "mine=opus,yours=default"}
    done = run("claudeproxy", "--check-config", environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration is valid\n", "")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CLAUDE_PATH": "/nowhere/claude"}, "Claude Code was not found: see CLAUDE_PATH"),
        ({"MODEL_MAP": "mine=opus,yours=llama-70b"}, "MODEL_MAP: 'llama-70b' is no model of Claude's that is known"),
        ({"ANTHROPIC_API_KEY": ""}, "Claude Code has no credentials: set "),
        ({"PORT": "1", "API_PORT": "2"}, "API_PORT has no effect: PORT is set by environment PORT."),
    ],
)
def test_check_config_warns(environ: dict[str, str], said: str) -> None:
    """
    What is allowed and may still be a mistake is a warning, one line each, and the configuration is valid.
    """
    usual = {"ANTHROPIC_API_KEY": "x", "CLAUDE_PATH": sys.executable}
    done = run("claudeproxy", "--check-config", environ={**usual, **environ})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "configuration is valid\n", 1)
    assert done.stderr.startswith(f"warning: {said}")


def test_print_config() -> None:
    """
    ``--print-config`` shows values and origins, and no secret.
    """
    done = run("claudeproxy", "--print-config", "--port=1", environ={"API_KEY": "hush"})
    assert done.returncode == 0
    assert "\nport = 1" in done.stdout
    assert "# option --port\n" in done.stdout
    assert "# environment API_KEY\n" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_version() -> None:
    """
    ``--version`` names claudeproxy, not Twisted.
    """
    assert run("claudeproxy", "--version").stdout == f"claudeproxy {claudeproxy.__version__}\n"


@pytest.mark.parametrize("columns", [80, 60])
def test_help(columns: int) -> None:
    """
    ``--help`` has every option once, under the title of its section, and no line that a terminal would break.
    """
    printed = run("claudeproxy", "--help", environ={"COLUMNS": str(columns)}).stdout
    listed = re.findall(r"^([A-Z].*):$|(?:^  |, )--([a-z-]+)=?", printed, re.MULTILINE)

    expected = [("General", ""), *(("", name) for name in ("demo", "check-config", "print-config", "version", "help"))]
    for title, rows in describe():
        expected.append((title, ""))
        for row in rows:
            expected += [("", row.option), *([("", f"{row.option}-file")] if row.kind.secret else [])]
    assert expected == listed
    names = ("Usage", "  --")
    assert [line for line in printed.splitlines() if len(line) > columns and not line.startswith(names)] == []
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_import_leaves_the_reactor_alone() -> None:
    """
    Importing the tap module installs no reactor and loads no web framework: ``twist --reactor`` still has a choice.
    """
    code = "import claudeproxy.tap, sys; print([m for m in ('klein', 'twisted.internet.reactor') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> TwistOptions:
    """
    Parse a command line of ``twist`` within this process.
    """
    monkeypatch.setattr(sys, "argv", ["twist", *arguments])
    options = TwistOptions()
    options["reactor"] = object()
    options.parseOptions(arguments)
    assert isinstance(options.subOptions, Options)
    return options


def test_log_settings_reach_twist(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    LOG_FORMAT and LOG_LEVEL decide how ``twist`` logs.
    """
    options = parsed(monkeypatch, "claudeproxy", "--log-format=pretty")
    assert options["fileLogObserverFactory"].__module__ == "claudeproxy.ops.logs"
    assert options["logLevel"] is LogLevel.debug


def test_own_log_options_of_twist_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who gives ``twist`` itself a log format gets that one.
    """
    options = parsed(monkeypatch, "--log-format", "text", "--log-level=warn", "claudeproxy", "--log-format=json")
    assert options["fileLogObserverFactory"] is textFileLogObserver
    assert options["logLevel"] is LogLevel.warn
