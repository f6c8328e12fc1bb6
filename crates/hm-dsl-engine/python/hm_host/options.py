"""What to say of an option that a function of the SDK doesn't have."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType


def unknown_option(error: TypeError) -> str | None:
    """The problem and its fix, where the error is about an option of the SDK."""
    function, mark, rest = str(error).partition("() got an unexpected keyword argument '")
    option = rest.partition("'")[0]
    known = {name for code in _codes(function) for name in _parameters(code, 0)} if mark else set()
    if not known:
        return None
    # What hands its other options on has some of its own.
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if trace.tb_frame.f_globals.get("__name__", "").startswith("harmont"):
            known.update(_parameters(code, code.co_argcount))
        trace = trace.tb_next
    from difflib import get_close_matches

    close = get_close_matches(option, sorted(known), n=1)
    fix = f"write {close[0]}=" if close else f"use {', '.join(sorted(known))}"
    return f"hm: {_shown(function)}() has no option {option!r}\n  fix: {fix}"


def _shown(function: str) -> str:
    """As users write it: toolchains are objects of a class."""
    owner, _, name = function.rpartition(".")
    if owner.endswith("Entry"):
        return owner.removesuffix("Entry").lower() + ("" if name == "__call__" else f".{name}")
    return function.removeprefix("hm.").removeprefix("Step.")


def _codes(function: str) -> Iterator[CodeType]:
    """The code of the SDK's functions of that qualified name."""
    for name, module in list(sys.modules.items()):
        if name != "harmont" and not name.startswith("harmont."):
            continue
        for value in vars(module).values():
            members = vars(value).values() if isinstance(value, type) else ()
            for found in (value, *members):
                if getattr(found, "__qualname__", None) == function and hasattr(found, "__code__"):
                    yield found.__code__


def _parameters(code: CodeType, first: int) -> list[str]:
    names = code.co_varnames[first : code.co_argcount + code.co_kwonlyargcount]
    return [name for name in names if name != "self" and not name.startswith("_")]
