"""The time that one file or pipeline may take.

One that uses it up halves the time of those after it, so that ten of them take two minutes and not ten.
"""

from __future__ import annotations

import _signal  # `signal` itself takes longer to import than all of this package
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Code that catches everything gets the error again after so many seconds, until hm ends the process.
_AGAIN = 0.5
# Nobody gets less seconds for what others have used up.
_LEAST = 1.0


class TooLong(BaseException):
    """Raised in user code whose time is over. Not an `Exception`, which user code may catch."""

    __module__ = "hm"


class Budget:
    """Gives each file its time, and tells hm which file it is."""

    def __init__(self, seconds: float, report_to: int) -> None:
        self._full = self._seconds = seconds
        self._report_to = report_to
        self._is_running = False
        self._is_over = False
        self.is_interrupted = False
        """Somebody pressed Ctrl-C; a `KeyboardInterrupt` without that is an error of user code."""
        _signal.signal(_signal.SIGINT, self._interrupt)

    def begin(self, file: str) -> None:
        """Starts the time of `file`."""
        line = file.replace("\n", " ") + "\n"
        posix.write(self._report_to, line.encode("utf-8", "surrogateescape"))
        self._is_running = True
        # For each file anew: user code may have a handler of its own.
        _signal.signal(_signal.SIGALRM, self._over)
        _signal.setitimer(_signal.ITIMER_REAL, self._seconds, _AGAIN)

    def end(self) -> None:
        """Nothing runs out any more."""
        self._is_running = False
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        if self._is_over:
            self._is_over = False
            self._seconds = max(self._seconds / 2, min(self._seconds, _LEAST))

    def _over(self, _signal_number: int, _frame: Any) -> None:
        if self._is_running:
            self._is_over = True
            less = "" if self._seconds == self._full else ", which is less than usual since others ran too long"
            raise TooLong(
                f"hm: the file runs longer than {self._seconds:g} s{less}\n  fix: look for a loop that doesn't end"
            )

    def _interrupt(self, _signal_number: int, _frame: Any) -> None:
        self.is_interrupted = True
        raise KeyboardInterrupt
