"""Named values that pipelines share, made once per render."""

from __future__ import annotations

from harmont._parameters import Default, markers
from harmont._refusals import is_kept
from harmont._step import Step
from harmont._typing import TargetRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _T = TypeVar("_T")

_by_name: dict[str, Callable[[], Any]] = {}
_values: dict[Callable[..., Any], Any] = {}
_running: list[tuple[Callable[..., Any], str]] = []


def target(*, name: str | None = None) -> Callable[[Callable[..., _T]], Callable[[], _T]]:
    """Makes the function's value available to every pipeline under its name.

    >>> @target()
    ... def build():
    ...     return scratch().sh("make")
    """
    if name is not None and not isinstance(name, str):
        raise TypeError("hm: write @hm.target() with parentheses, or @hm.target(name=...)")

    def decorate(function: Callable[..., _T]) -> Callable[[], _T]:
        try:
            return declare(function)
        except (TypeError, ValueError) as error:
            if not is_kept(error):
                raise
            return _unusable(getattr(function, "__name__", None) if name is None else name)

    def declare(function: Callable[..., _T]) -> Callable[[], _T]:
        found = markers(function)
        own_name = function.__name__ if name is None else name
        if own_name in _by_name:
            raise ValueError(
                f'hm: there are two targets named {own_name!r}\n  fix: give one of them @hm.target(name="...")'
            )

        def value() -> _T:
            if function not in _values:
                _values[function] = call(function, found, own_name)
            return _values[function]

        dress(value, function)
        _by_name[own_name] = value
        return value

    return decorate


def _unusable(name: str | None) -> Callable[[], Any]:
    """What stands for a target whose declaration was refused, so that it isn't told to be missing as well."""

    def value() -> Any:
        raise TypeError(f"hm: the declaration of the target {name!r} was refused\n  fix: mend the declaration first")

    return value if name is None else _by_name.setdefault(name, value)


def call(function: Callable[..., _T], found: dict[str, Any], name: str) -> _T:
    """Calls `function` with what was found for its parameters."""
    for position, (running, _) in enumerate(_running):
        if running is function:
            path = " → ".join([*(label for _, label in _running[position:]), name])
            raise RuntimeError(
                f"hm: targets need each other in a circle: {path}\n  fix: move what they share into a target of its own"
            )
    _running.append((function, name))
    try:
        return function(**{parameter: _resolve(parameter, marker) for parameter, marker in found.items()})
    finally:
        _running.pop()


def _resolve(parameter: str, marker: Any) -> Any:
    if isinstance(marker, Default):
        return marker.value
    if not isinstance(marker, TargetRef):
        return Step(image=marker.image)
    if parameter not in _by_name:
        known = ", ".join(sorted(_by_name)) or "none"
        raise TypeError(
            f"hm: target {parameter!r} not found\n"
            f"  fix: declare it with @hm.target(), or name the parameter like one of the targets: {known}"
        )
    return _by_name[parameter]()


def dress(wrapper: Callable[..., Any], function: Callable[..., Any]) -> None:
    """What `functools.wraps` does, without its import."""
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, attribute, getattr(function, attribute, None))
    wrapper.__dict__["__wrapped__"] = function


def clear_values() -> None:
    """Forgets the values, so that the next render makes them anew."""
    _values.clear()


def clear_target_cache() -> None:
    """Forgets all targets and their values; for tests that declare targets again."""
    _values.clear()
    _by_name.clear()
