"""The time that one file or pipeline may take, and how many may use theirs up."""

from __future__ import annotations

import sys

import _signal  # `signal` itself takes longer to import than all of this package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hm_host.channel import Channel

# Code that catches everything gets the error again after so many seconds, until hm ends the process.
_AGAIN = 0.5


class TooLong(BaseException):
    """Raised in user code whose time is over. Not an `Exception`, which user code may catch."""

    __module__ = "hm"


class NotEvaluated(Exception):
    """Said of what comes after too many that used up their time."""

    __module__ = "hm"


class Budget:
    """Gives each file its time, and tells hm which file it is."""

    def __init__(self, seconds: float, patience: int, channel: Channel) -> None:
        self._seconds = seconds
        self._patience = patience
        self._channel = channel
        self._is_running = False
        self._is_over = False
        # What hm and the SDK need; user code may empty the table.
        self._modules = dict(sys.modules)
        self._restore = sys.modules.update
        self.is_interrupted = False
        """Somebody pressed Ctrl-C; a `KeyboardInterrupt` without that is an error of user code."""
        _signal.signal(_signal.SIGINT, self._interrupt)

    def begin(self, file: str) -> None:
        """Starts the time of `file`."""
        if self._patience == 0:
            raise NotEvaluated("hm: not evaluated, since too many before it ran out of their time\n  fix: mend those first")
        self.tell(file.replace("\n", " "))
        self._is_running = True
        # For each file anew: user code may have a handler of its own.
        _signal.signal(_signal.SIGALRM, self._over)
        _signal.setitimer(_signal.ITIMER_REAL, self._seconds, _AGAIN)

    def tell(self, line: str) -> None:
        """Tells hm at once: the path of a file that is begun, or a problem as a JSON object."""
        self._channel.write(line.encode("utf-8", "surrogateescape") + b"\n")

    def end(self) -> bool:
        """Nothing runs out any more; whether the time was used up."""
        self._is_running = False
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        self._restore(self._modules)
        was_over, self._is_over = self._is_over, False
        if was_over:
            self._patience -= 1
        return was_over

    def _over(self, _signal_number: int, _frame: Any) -> None:
        if self._is_running:
            self._is_over = True
            raise TooLong(f"hm: the file runs longer than {self._seconds:g} s\n  fix: look for a loop that doesn't end")

    def _interrupt(self, _signal_number: int, _frame: Any) -> None:
        self.is_interrupted = True
        raise KeyboardInterrupt
