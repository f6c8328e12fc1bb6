"""The part of hm that runs inside Python: evaluates the files of a `.hm` folder and reports what they declare."""

from __future__ import annotations

import sys


def main(here: str, folder: str, seconds: float, patience: int, files: list[str]) -> int:
    """Evaluates `files` of `folder`; `here` is the folder of this package and of the SDK.

    The report goes to what stdout was at the start. From then on stdout is stderr, for user code and what it runs.
    """
    import posix

    from hm_host import compiled, lifeline, site_on_demand
    from hm_host.budget import Budget

    sys.argv[1:] = []
    lifeline.hold()
    report_to = posix.dup(1)
    posix.dup2(2, 1)
    sys.stdout = sys.stderr
    compiled.ensure(here)
    site_on_demand.defer()
    installed = posix.environ.get(b"HM_SDK") == b"installed"
    if installed:
        sys.path.remove(here)
    from hm_host import evaluate

    if not installed:
        import harmont  # noqa: F401 (claims the name before user code can)

        sys.path.remove(here)
    report = evaluate.run(folder, files, Budget(seconds, patience, report_to), installed=installed)
    _write(report_to, report.encode())
    _leave()
    return 0


def _write(descriptor: int, data: bytes) -> None:
    import posix

    rest = memoryview(data)
    while rest:
        rest = rest[posix.write(descriptor, rest) :]
    posix.close(descriptor)


def _leave() -> None:
    """Ends the process as an interpreter would, but does not wait for threads that user code left running."""
    import atexit
    import posix

    atexit._run_exitfuncs()
    sys.stderr.flush()
    posix._exit(0)
