"""
The step between the daemon and the CLI: run as a script, it becomes the CLI.

    python -I -S launch.py PARENT PROGRAM ARGUMENT...

It makes the process the leader of a session and group of its own, so that it can be ended whole, and on Linux has the
kernel kill it when the daemon dies. The end of its stdin is not enough for that: a CLI in the middle of a turn waits
for the model first (seen: 20 s). The order matters: the daemon may have died before the kernel was asked, so its
absence is looked for afterwards. Twisted does none of this, and ``setsid`` and ``setpriv`` cannot do the last.

It imports nothing of the project: it costs 12 ms beside the CLI's own start of 400.
"""

import ctypes
import os
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main(parent: int, program: list[str]) -> None:
    """
    Become ``program``, unless ``parent`` is gone.
    """
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() == parent:
        os.execv(program[0], program)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
