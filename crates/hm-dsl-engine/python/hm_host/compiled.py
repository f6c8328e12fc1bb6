"""Byte code of this package and the SDK, made once for each version of Python.

Their folder is named by its contents, so byte code in it never needs a check against its source. Users who switch byte
code off, or send it elsewhere, would otherwise pay for the compilation in every run.
"""

from __future__ import annotations

import sys


def ensure(here: str) -> None:
    """Compiles what is in `here` unless that was done for this version."""
    marker = f"{here}/.compiled-{sys.implementation.cache_tag}-{sys.flags.optimize}"
    try:
        open(marker, "rb").close()
    except FileNotFoundError:
        _compile(here, marker)


def _compile(here: str, marker: str) -> None:
    import os
    import py_compile

    try:
        for folder, _, files in os.walk(here):
            for name in files:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    py_compile.compile(
                        path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
                    )
        open(marker, "wb").close()
    except OSError:
        pass  # a folder that can't be written only costs time
