"""The part of hm that runs inside Python: evaluates the files of a `.hm` folder and reports what they declare."""

from __future__ import annotations

import sys


def main(here: str, folder: str, seconds: float, patience: int, files: list[str]) -> int:
    """Evaluates `files` of `folder`; `here` is the folder of this package and of the SDK.

    The report goes to what stdout was at the start.
    """
    import posix

    from hm_host import compiled, lifeline, site_on_demand
    from hm_host.budget import Budget
    from hm_host.channel import BROKEN, Channel, leave

    sys.argv[1:] = []
    lifeline.hold()
    channel = Channel()
    compiled.ensure(here)
    site_on_demand.defer()
    installed = posix.environ.get(b"HM_SDK") == b"installed"
    if installed:
        sys.path.remove(here)
    from hm_host import evaluate

    if not installed:
        import harmont  # noqa: F401 (claims the name before user code can)

        sys.path.remove(here)
    try:
        report = evaluate.run(folder, files, Budget(seconds, patience, channel), installed=installed)
    except Exception as error:
        # User code may have taken away anything that this package needs.
        print(f"hm: {type(error).__name__}: {error}", file=sys.stderr)
        leave(BROKEN)
    else:
        channel.write(report.encode())
        _finish()
    return 0


# What user code left for the end of the interpreter may take so many seconds.
_LAST = 0.5


def _finish() -> None:
    """Ends the process as an interpreter would, but does not wait for threads that user code left running."""
    import _signal
    import atexit

    from hm_host.channel import leave

    _signal.signal(_signal.SIGALRM, lambda _number, _frame: leave(0))
    _signal.setitimer(_signal.ITIMER_REAL, _LAST)
    atexit._run_exitfuncs()
    leave(0)
