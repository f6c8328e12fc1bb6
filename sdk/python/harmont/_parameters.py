"""The parameters of a target or pipeline function, checked when it is decorated."""

from __future__ import annotations

from harmont._record import record
from harmont._typing import marker_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    from harmont._typing import BaseImageMarker, TargetRef

_VAR_POSITIONAL = 0x04
_VAR_KEYWORD = 0x08
_ASYNC = 0x80 | 0x200


@record()
class Default:
    """The value of a parameter that has no marker."""

    value: Any


def markers(function: Callable[..., Any]) -> dict[str, TargetRef | BaseImageMarker | Default]:
    """What each parameter is called with; those of a plain function that have a default only are left to it.

    A function that wraps another, as `functools.wraps` tells, has the parameters of the innermost one.
    """
    inner, bound = _innermost(function, through_own=False)
    code = inner.__code__
    if code.co_flags & _ASYNC:
        raise TypeError(
            f"hm: {function.__name__}() is async, and nobody awaits it\n"
            "  fix: remove 'async'; what has to be awaited goes into asyncio.run(...)"
        )
    _check_kinds(function, code, bound)
    defaults = _defaults(inner)
    found: dict[str, TargetRef | BaseImageMarker | Default] = {}
    for name in code.co_varnames[bound : code.co_argcount + code.co_kwonlyargcount]:
        marker = marker_of(_annotation(inner, name))
        if marker is not None:
            found[name] = marker
        elif name not in defaults:
            raise TypeError(
                f"hm: the parameter {name!r} of {function.__name__}() has no marker and no default\n"
                f"  fix: write {name}: hm.Target[hm.Step] for the target {name!r}, "
                f'{name}: Annotated[hm.Step, hm.BaseImage("debian:12")] for a fresh machine, or give it a default'
            )
        elif inner is not function:
            found[name] = Default(defaults[name])
    return found


def code_of(function: Callable[..., Any]) -> CodeType:
    """The code that a user has written for it."""
    return _innermost(function, through_own=True)[0].__code__


def _innermost(function: Any, *, through_own: bool) -> tuple[Any, int]:
    """The plain function in wrappers and methods, and how many of its parameters the methods give.

    What a decorator of the SDK made is a plain function without parameters, unless the search goes `through_own`.
    """
    inner, bound = function, 0
    # A function may say that it wraps itself.
    unwrapped: set[int] = set()
    while hasattr(function, "__name__"):
        if hasattr(inner, "__func__"):
            inner, bound = inner.__func__, bound + 1
        elif hasattr(inner, "__wrapped__") and id(inner) not in unwrapped and (through_own or not _is_own(inner)):
            unwrapped.add(id(inner))
            inner = inner.__wrapped__
        elif hasattr(inner, "__code__"):
            return inner, bound
        else:
            break
    raise TypeError(
        f"hm: only functions can be decorated, not {type(function).__name__}\n"
        "  fix: write a function that calls it, and decorate that"
    )


def _is_own(function: Any) -> bool:
    return getattr(function, "__globals__", {}).get("__name__", "").startswith("harmont.")


def _check_kinds(function: Callable[..., Any], code: CodeType, bound: int) -> None:
    for flag, what in ((_VAR_POSITIONAL, "*args"), (_VAR_KEYWORD, "**kwargs")):
        if code.co_flags & flag:
            raise TypeError(f"hm: {function.__name__}() cannot take {what}\n  fix: name each target that it needs")
    if code.co_posonlyargcount > bound:
        first = code.co_varnames[bound]
        raise TypeError(
            f"hm: {function.__name__}() cannot have positional-only parameters (got {first!r})\n  fix: remove the '/'"
        )


def _defaults(function: Any) -> dict[str, Any]:
    """The defaults of the parameters of a plain function that have one."""
    values = function.__defaults__ or ()
    code = function.__code__
    last = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return {**dict(zip(last, values, strict=True)), **(function.__kwdefaults__ or {})}


def _annotation(function: Callable[..., Any], name: str) -> object:
    annotation = _annotations(function).get(name)
    try:
        # A quoted annotation under `from __future__ import annotations` is quoted twice.
        while isinstance(annotation, str):
            annotation = eval(annotation, function.__globals__)
    except (NameError, AttributeError):
        # A name for the type checker only; a marker is never one.
        return None
    return annotation


def _annotations(function: Callable[..., Any]) -> dict[str, object]:
    try:
        return function.__annotations__
    except NameError:
        # Python 3.14 evaluates annotations on first use, and all at once.
        from importlib import import_module

        annotationlib: Any = import_module("annotationlib")
        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
