"""The way to hm: the pipe that stdout was at the start."""

from __future__ import annotations

import sys

# By name, since user code can change what the module has.
from posix import _exit, dup, dup2, fstat, write

# The statuses of an interpreter that can't go on, which hm knows.
LOST = 74
BROKEN = 70


class Channel:
    """Takes the place of stdout, which is stderr from then on, for user code and what it runs."""

    def __init__(self) -> None:
        self._descriptor = dup(1)
        self._pipe = self._found()
        dup2(2, 1)
        sys.stdout = sys.stderr

    def write(self, data: bytes) -> None:
        """Writes to hm; ends the process where user code has closed the pipe, or something else has its number."""
        try:
            if self._found() != self._pipe:
                leave(LOST)
            rest = memoryview(data)
            while rest:
                rest = rest[write(self._descriptor, rest) :]
        except OSError:
            leave(LOST)

    def _found(self) -> tuple[int, int]:
        status = fstat(self._descriptor)
        return status.st_dev, status.st_ino


def leave(status: int) -> None:
    """Ends the process at once, without what user code left running."""
    try:
        sys.stderr.flush()
    except Exception:
        pass  # it is the user's to close
    _exit(status)
