"""
Where the CLI is, and all that one CLI process is started with: arguments, environment, directories.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from attrs import define, field, frozen

from claudeproxy.backends.claude.processes import launch
from claudeproxy.config import ClaudeConfig

__all__ = ["Launch", "Launcher", "locate_cli"]


_PREFIX = "cp-"
"""How the daemon's directory of scratch directories begins, below the system's own."""
_LOCK = "lock"
"""The file in it that its daemon holds locked."""

_LAUNCH = (sys.executable, "-I", "-S", launch.__file__)
"""The command that becomes the CLI, in a group of its own that ends with the daemon."""

_FEATURE_FLAGS = '{"cachedFeatureFlags": {"tengu_truncated_response_recovery": false}}'
"""The CLI's own settings in a fresh configuration directory: a response that breaks off is not asked for again. A turn
ends at such a break all the same (see ``answers/wholeness.py``), which covers a CLI with its own login; but killing the
process does not always come before its next request (observed: 4 of 75 on a busy machine)."""


@frozen
class Launch:
    """
    One process to be.
    """

    model: str
    session_id: str
    """The id under which the CLI knows the conversation; it never leaves the daemon."""
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    """There are secrets in it."""
    working_directory: Path
    scratch: Path
    """The directory to remove when the process has ended."""
    own_login: bool = False
    """Whether the CLI is logged in by itself."""

    def clean_up(self) -> None:
        """Remove what the process leaves; a few small files, so it is done on the spot."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def locate_cli(path: str, search_path: str | None) -> str | None:
    """
    Return the CLI's absolute path, or None when there is none.

    :param path: a file, or a name to look for on ``search_path`` and then in the wheel ``claude-agent-sdk``.
    """
    if os.sep in path:
        candidate = os.path.abspath(os.path.expanduser(path))
        return candidate if _executable(candidate) else None
    found = shutil.which(path, path=search_path)
    if found is not None:
        return os.path.abspath(found)
    if path != "claude":
        return None
    wheel = find_spec("claude_agent_sdk")  # does not import it
    for directory in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        bundled = os.path.join(directory, "_bundled", "claude")
        if _executable(bundled):
            return bundled
    return None


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _sweep(temporary: Path) -> None:
    """
    Remove what daemons left that could not clean up: there are conversations in it.

    A daemon holds a lock in its directory for as long as it lives. Its process id would say less: in a container, the
    next daemon has the same.
    """
    for left in temporary.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


@define
class Launcher:
    """
    Makes :class:`Launch` values for one configuration.
    """

    _config: ClaudeConfig
    _environ: Mapping[str, str]
    _default_model: str
    """What a fresh process is started with; it can still take any other."""
    _root: Path | None = field(init=False, default=None)
    _lock: int | None = field(init=False, default=None)

    def locate(self) -> str | None:
        """
        The CLI's path now; it may be installed while the daemon runs.
        """
        return locate_cli(self._config.path, self._environ.get("PATH"))

    def prepare(self, cli: str) -> Launch:
        """
        Make the directories of one process and say how to start it.

        :raises OSError: the directories cannot be made.
        """
        session_id = str(uuid4())
        scratch = Path(tempfile.mkdtemp(dir=self._scratch_root()))
        # With a subscription the CLI tells the model its working directory: it gets a name that tells nothing.
        working, config = scratch / "w", scratch / "c"
        try:
            working.mkdir()
            config.mkdir()
            (config / ".claude.json").write_text(_FEATURE_FLAGS, "utf-8")
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        if self._config.login:
            config = self._own_config_directory()
        return Launch(
            model=self._default_model,
            session_id=session_id,
            arguments=(*self._launch(cli), *self._arguments(session_id)),
            environment=self._child_environment(scratch, config),
            working_directory=working,
            scratch=scratch,
            own_login=self._config.login,
        )

    def version_arguments(self, cli: str) -> tuple[str, ...]:
        """
        How to ask the CLI for its version.
        """
        return (*self._launch(cli), "--version")

    def clean_up(self) -> None:
        """
        Remove what all the processes left.
        """
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None
            self._release()

    def _scratch_root(self) -> Path:
        if self._root is None or not self._root.is_dir():
            temporary = Path(tempfile.gettempdir())
            _sweep(temporary)
            self._release()
            root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temporary))
            try:
                self._lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError:
                # Without its lock the next daemon could not know whose it is, and would leave it.
                shutil.rmtree(root, ignore_errors=True)
                raise
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._root = root
        return self._root

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @staticmethod
    def _launch(cli: str) -> tuple[str, ...]:
        return (*_LAUNCH, str(os.getpid()), cli)

    def _own_config_directory(self) -> Path:
        configured = self._environ.get("CLAUDE_CONFIG_DIR")
        return Path(configured) if configured else Path(self._environ.get("HOME", "/")) / ".claude"

    def _arguments(self, session_id: str) -> tuple[str, ...]:
        return (
            "-p",
            *("--input-format", "stream-json", "--output-format", "stream-json"),
            *("--verbose", "--include-partial-messages"),
            *("--model", self._default_model),
            *("--tools", "", "--strict-mcp-config", "--setting-sources=", "--no-session-persistence"),
            # What the model thinks is asked for wherever it may think; a turn can do without.
            *("--thinking-display", "summarized"),
            # Bare is the request without anything of the host; it knows API keys only.
            *(("--bare",) if self._config.api_key or self._config.auth_token else ()),
            f"--session-id={session_id}",
            # The client's functions, which it runs itself. Without this the CLI would refuse the model's calls.
            "--allowedTools=mcp__client__*",
        )

    def _child_environment(self, scratch: Path, config: Path) -> dict[str, str]:
        """
        All that the CLI sees of the daemon's environment (mission X3).
        """
        ours = self._environ
        child = {
            "PATH": ours.get("PATH", os.defpath),
            "HOME": ours.get("HOME", "/") if self._config.login else str(scratch),
            "LANG": ours.get("LANG", "C.UTF-8"),
            "TERM": "dumb",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            # The client learns of a failure at once and decides; else the CLI repeats silently, for minutes.
            "CLAUDE_CODE_MAX_RETRIES": "0",
            # A stream that breaks is not asked for again as a whole, which would end a cut-off answer as a success.
            "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
            # The model is told of all of the client's functions.
            "ENABLE_TOOL_SEARCH": "false",
            # A turn that does without what the model thinks gets nothing in its place, such as remarks in between.
            "CLAUDE_CODE_THINKING_DISPLAY_UPDATES": "0",
            # Tokens; else a long result of a function is put into a file.
            "MAX_MCP_OUTPUT_TOKENS": "1000000000",
            # A long conversation is not replaced by a summary, for which the model would be asked, too: how much of it
            # to send is the client's to decide.
            "DISABLE_COMPACT": "1",
            # Tokens; whether it is too long the API says.
            "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE": "1000000000",
            # A model that the client asks for is not replaced by a newer one.
            "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP": "1",
            # Nor is a refusing model asked again.
            "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
        }
        if not self._config.login:
            child["CLAUDE_CONFIG_DIR"] = str(config)
            # The CLI reads _FEATURE_FLAGS, although it fetches none.
            child["CLAUDE_CODE_GB_DISK_CACHE_WHEN_TELEMETRY_OFF"] = "1"
        elif "CLAUDE_CONFIG_DIR" in ours:
            child["CLAUDE_CONFIG_DIR"] = ours["CLAUDE_CONFIG_DIR"]
        for name, secret in (
            ("ANTHROPIC_API_KEY", self._config.api_key),
            ("ANTHROPIC_AUTH_TOKEN", self._config.auth_token),
            ("CLAUDE_CODE_OAUTH_TOKEN", self._config.oauth_token),
        ):
            if secret is not None:
                child[name] = secret.value
        if self._config.base_url is not None:
            child["ANTHROPIC_BASE_URL"] = self._config.base_url
        child.update((name, ours[name]) for name in self._config.env_passthrough if name in ours)
        return child
