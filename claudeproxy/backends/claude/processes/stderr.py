"""
What a CLI process writes to stderr: for the operator, never for a client.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from typing import ClassVar

from attrs import define, field
from twisted.logger import Logger

from claudeproxy.ops.redaction import Redactor, redact, redact_end

__all__ = ["Stderr"]

_LOGGED = 64 * 1024
"""Bytes of one process that are logged as they come. A process that floods must not keep the daemon busy."""
_LOGGED_LINES = 200
"""Lines, empty ones too: each costs more than its bytes."""
_READ = 16_000
"""Bytes of the end that are looked at when it is asked for."""
_SHOWN = 2000
"""Characters of it that are shown."""


def _decoder() -> IncrementalDecoder:
    return getincrementaldecoder("utf-8")(errors="replace")


@define
class Stderr:
    """
    Logs the first lines at level debug, and keeps the last for the day when the process dies.
    """

    _log: ClassVar[Logger] = Logger()

    _cap: int
    """Bytes that are kept."""
    kept: bytearray = field(init=False, factory=bytearray)
    _left: int = field(init=False, default=_LOGGED)
    _lines_left: int = field(init=False, default=_LOGGED_LINES)
    _decoder: IncrementalDecoder = field(init=False, factory=_decoder)
    _redactor: Redactor = field(init=False, factory=Redactor)

    def received(self, data: bytes) -> None:
        """
        Take what the process has written.
        """
        self.kept += data
        surplus = len(self.kept) - self._cap
        if surplus > 0:
            del self.kept[:surplus]
        if self._left:
            piece = self._first_lines(data[: self._left])
            self._left = self._left - len(piece) if self._lines_left else 0
            self._tell(self._redactor.feed(self._decoder.decode(piece)))
            if not self._left:
                self._log.debug("Claude Code writes more to stderr than is logged")

    def closed(self) -> None:
        """
        It will write nothing more.
        """
        if self._left:
            self._tell(self._redactor.feed(self._decoder.decode(b"", True)) + self._redactor.close())

    def end(self) -> str:
        """
        Return the end of it, redacted.
        """
        text = self.kept[-_READ:].decode(errors="replace")
        whole = len(self.kept) <= _READ and len(self.kept) < self._cap
        return (redact(text) if whole else redact_end(text))[-_SHOWN:].strip()

    def _first_lines(self, data: bytes) -> bytes:
        """
        Return as much of it as is logged by the number of lines.
        """
        *lines, rest = data.split(b"\n", self._lines_left)
        self._lines_left -= len(lines)
        return data if self._lines_left else data[: len(data) - len(rest)]

    def _tell(self, text: str) -> None:
        for line in text.split("\n"):
            if line.strip():
                self._log.debug("Claude Code on stderr: {line}", line=line)
