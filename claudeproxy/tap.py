"""
What ``twist claudeproxy`` runs: the command line, and the step from there to the service.

Twisted answers a usage error with status 64 and all of its help. Ours end with one line and status 1, as every mistake
in the configuration does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from getopt import GetoptError, getopt
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, ClassVar, NoReturn, cast

from twisted.application.service import IService
from twisted.logger import LogLevel
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from claudeproxy import __version__
from claudeproxy.concerns import concerns
from claudeproxy.config import SETTINGS, Config, ConfigError, LogConfig, Setting, load
from claudeproxy.config.document import describe, report
from claudeproxy.ops.listen import check_endpoints
from claudeproxy.ops.logs import Threshold, make_observer_factory
from claudeproxy.proxy_variables import check_proxy_variables

__all__ = ["Options", "makeService"]


_NAMES_WIDTH = 32
"""Columns of the help that the options take."""


def _parameters(row: Setting[object]) -> list[list[str | None]]:
    names = [row.option, f"{row.option}-file"] if row.kind.secret else [row.option]
    return [[name, None, None, row.help] for name in names]


def _help(row: Setting[object]) -> tuple[str, str]:
    """
    Return the options of a setting and what they do.
    """
    file = f", --{row.option}-file=" if row.kind.secret else ""
    default = f" [default: {row.default_text}]" if row.default_text else ""
    return f"--{row.option}={file}", (row.help + default).replace("`", "")


def _entry(names: str, help: str, columns: int) -> str:
    """
    Lay out options and what they do in two columns; names that are too long have a line of their own.
    """
    indent = " " * _NAMES_WIDTH
    text = fill(help, columns, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    head = f"  {names}"
    return f"{head:{_NAMES_WIDTH}}{text.lstrip()}" if len(head) < _NAMES_WIDTH else f"{head}\n{text}"


class Options(UsageOptions):
    """
    The command line of ``twist claudeproxy``, made from the table of settings.
    """

    synopsis = "[options]"
    longdesc = (
        "One door to Claude Code and to any OpenAI-compatible API. Every option can be an environment variable "
        "(--max-body-bytes: MAX_BODY_BYTES) or a key of the TOML file that --config names (max_body_bytes). "
        "Options that end in -file read a secret from a file, which ps does not show."
    )
    optParameters: ClassVar[list[list[str | None]]] = [
        parameters for row in SETTINGS.values() for parameters in _parameters(row)
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["demo", None, "Serve canned answers of built-in stubs: no key, no network."],
        ["check-config", None, "Check the configuration and exit."],
        ["print-config", None, "Show every setting with its origin, secrets masked, and exit."],
    ]

    config: Config
    read: Callable[[], Config]
    """Reads the configuration again."""
    threshold: Threshold
    """What the log goes by."""

    def getUsage(self, width: int | None = None) -> str:
        """
        Return the help, section by section as the reference has them.

        :param width: columns; by default those of the terminal, or 80.
        """
        columns = max(_NAMES_WIDTH + 20, width or get_terminal_size().columns)
        flags = [(f"--{name}", str(help)) for name, _, help in self.optFlags]
        flags += [("--version", "Show the version and exit."), ("--help", "Show this help and exit.")]
        sections = [("General", flags)]
        sections += [(title, [_help(row) for row in rows]) for title, rows in describe()]
        blocks = ["", fill(self.longdesc, columns, break_on_hyphens=False), ""]
        for title, entries in sections:
            blocks += [f"{title}:", *(_entry(names, help, columns) for names, help in entries), ""]
        return "\n".join(blocks)

    def opt_version(self) -> NoReturn:
        """Show the version and exit."""
        print(f"claudeproxy {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line; a mistake ends the program.
        """
        try:
            UsageOptions.parseOptions(self, options)
        except UsageError as error:
            mistake = str(error).rstrip(".")
            sys.exit(f"claudeproxy: {mistake}; twist claudeproxy --help lists the options")

    def postOptions(self) -> None:
        """
        Merge the options with the other sources; a mistake ends the program.
        """
        given = {row: value for row, value in self.items() if isinstance(value, str)}
        self.read = partial(load, given, os.environ)
        try:
            self.config = self.read()
            check_endpoints(self.config)
            if not self["demo"]:
                check_proxy_variables(self.config, os.environ)
        except ConfigError as error:
            sys.exit(f"claudeproxy: {error}")
        if self["check-config"]:
            for concern in concerns(self.config, os.environ):
                print(f"warning: {concern}", file=sys.stderr)
            print("configuration is valid")
            sys.exit(0)
        if self["print-config"]:
            print(report(self.config))
            sys.exit(0)
        self._set_up_logging(self.config.log)

    def _set_up_logging(self, log: LogConfig) -> None:
        """
        Have ``twist`` log as ``LOG_LEVEL`` and ``LOG_FORMAT`` say, unless its own options say how.
        """
        self.threshold = Threshold(log.level)
        parent = self.parent
        if parent is None:
            return
        chosen = _chosen_options(parent)
        if "--log-format" not in chosen:
            parent["fileLogObserverFactory"] = make_observer_factory(self.threshold, log.format)
            if "--log-level" not in chosen:
                # The observer filters by itself: our levels are finer than Twisted's.
                parent["logLevel"] = LogLevel.debug


def _chosen_options(parent: UsageOptions) -> set[str]:
    """
    Return the names of the options that were given to ``twist`` itself; it only keeps their values.
    """
    try:
        given, _ = getopt(sys.argv[1:], parent.shortOpt, parent.longOpt)
    except GetoptError:
        return set()
    return {name for name, _ in given}


def makeService(options: Options) -> IService:
    """
    Build the service. The reactor is imported here, where ``twist`` has already chosen it.
    """
    from twisted.internet import reactor

    from claudeproxy.service import build

    return build(cast(Any, reactor), options.config, options.read, options.threshold, demo=bool(options["demo"]))
