"""
Holds a state directory for one daemon.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

__all__ = ["StateDirInUse", "StateLock"]


class StateDirInUse(Exception):
    """
    Another process holds the lock of the state directory.
    """


@define(eq=False)
class StateLock:
    """
    An ``flock`` on the file ``lock`` of a state directory.

    The kernel releases it when the process ends, however it ends; the file itself stays and says nothing.
    """

    _log = Logger()

    _directory: Path
    _file: int | None = field(init=False, default=None)

    def acquire(self) -> None:
        """
        Take the lock. Where there can be none (a read-only directory, some network file systems) that is a warning.

        :raises StateDirInUse: another process has it.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            self._warn(error)
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(file)
            os.close(file)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                self._warn(error)
                return
            raise StateDirInUse(
                f"STATE_DIR {self._directory} is in use by another daemon (process {holder}); "
                "each daemon needs a directory of its own."
            ) from None
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # A full disk. The lock holds all the same; only its message lacks the process id.
            pass

    def release(self) -> None:
        """
        Give the lock back, if it was taken.
        """
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _warn(self, error: OSError) -> None:
        self._log.warn(
            "STATE_DIR {directory} cannot be locked; a second daemon on it would not be noticed: {reason}",
            directory=str(self._directory),
            reason=os.strerror(error.errno or 0),
        )


def _holder(file: int) -> str:
    try:
        return os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return "unknown"
