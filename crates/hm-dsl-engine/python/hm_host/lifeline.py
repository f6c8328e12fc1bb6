"""Ends this process when hm is gone, however hm ended and whatever user code is doing.

stdin is a pipe that nobody writes to and whose other end only hm holds. The kernel sends the signal when that end is
closed, so a loop that never gives another thread a turn is ended too.
"""

from __future__ import annotations


def hold() -> None:
    """Takes stdin as the lifeline; user code gets an empty one."""
    import fcntl
    import posix

    line = posix.dup(0)
    empty = posix.open("/dev/null", posix.O_RDONLY)
    posix.dup2(empty, 0)
    posix.close(empty)
    fcntl.fcntl(line, fcntl.F_SETOWN, posix.getpid())
    set_signal = getattr(fcntl, "F_SETSIG", None)
    if set_signal is not None:  # where there is none, SIGIO ends the process
        fcntl.fcntl(line, set_signal, 9)
    fcntl.fcntl(line, fcntl.F_SETFL, posix.O_NONBLOCK | posix.O_ASYNC)
    try:
        ended = posix.read(line, 1) == b""
    except BlockingIOError:
        return
    if ended:  # before the signal was asked for
        posix._exit(1)
