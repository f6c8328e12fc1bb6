"""The parameters of a target or pipeline function, checked when it is decorated."""

from __future__ import annotations

from harmont._typing import marker_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from harmont._typing import BaseImageMarker, TargetRef

_VAR_POSITIONAL = 0x04
_VAR_KEYWORD = 0x08
_ASYNC = 0x80 | 0x200


def markers(function: Callable[..., Any]) -> dict[str, TargetRef | BaseImageMarker]:
    """The marker of each parameter that has one; the others have defaults."""
    if not callable(function):
        raise TypeError(f"hm: only functions can be decorated, not {type(function).__name__}")
    names, defaulted = _names(function)
    found: dict[str, TargetRef | BaseImageMarker] = {}
    for name in names:
        marker = marker_of(_annotation(function, name))
        if marker is not None:
            found[name] = marker
        elif name not in defaulted:
            raise TypeError(
                f"hm: the parameter {name!r} of {function.__name__}() has no marker and no default\n"
                f"  fix: write {name}: hm.Target[hm.Step] for the target {name!r}, "
                f'{name}: Annotated[hm.Step, hm.BaseImage("debian:12")] for a fresh machine, or give it a default'
            )
    return found


def _names(function: Callable[..., Any]) -> tuple[tuple[str, ...], set[str]]:
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"hm: only plain functions can be decorated, not {type(function).__name__}")
    if code.co_flags & _ASYNC:
        raise TypeError(
            f"hm: {function.__name__}() is async, and nobody awaits it\n"
            "  fix: remove 'async'; what has to be awaited goes into asyncio.run(...)"
        )
    if code.co_flags & _VAR_POSITIONAL:
        raise TypeError(f"hm: {function.__name__}() cannot take *args\n  fix: name each target that it needs")
    if code.co_flags & _VAR_KEYWORD:
        raise TypeError(f"hm: {function.__name__}() cannot take **kwargs\n  fix: name each target that it needs")
    if code.co_posonlyargcount:
        first = code.co_varnames[0]
        raise TypeError(
            f"hm: {function.__name__}() cannot have positional-only parameters (got {first!r})\n  fix: remove the '/'"
        )
    positional = code.co_varnames[: code.co_argcount]
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__defaults__ or ()
    defaulted = set(positional[len(positional) - len(defaults) :]) | set(function.__kwdefaults__ or ())
    return names, defaulted


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
