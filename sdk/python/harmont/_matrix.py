"""Every combination of some values."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def matrix(
    *,
    include: Iterable[dict[str, Any]] = (),
    exclude: Iterable[dict[str, Any]] = (),
    **axes: Iterable[Any],
) -> Iterator[dict[str, Any]]:
    """Every combination of the axes' values, the last axis fastest.

    A combination that agrees with an entry of `exclude` is left out; those of `include` are added at the end.

    >>> list(matrix(os=["debian", "alpine"], n=[1, 2], exclude=[{"os": "alpine", "n": 2}]))
    [{'os': 'debian', 'n': 1}, {'os': 'debian', 'n': 2}, {'os': 'alpine', 'n': 1}]
    """
    combinations: list[dict[str, Any]] = [{}] if axes else []
    for name, values in axes.items():
        if isinstance(values, str):
            raise TypeError(f"hm.matrix: the values of {name!r} must be a list\n  fix: {name}=[{values!r}]")
        listed = list(values)
        combinations = [{**combination, name: value} for combination in combinations for value in listed]
    unwanted = list(exclude)
    for combination in combinations:
        if not any(_agrees(combination, entry) for entry in unwanted):
            yield combination
    yield from include


def _agrees(combination: dict[str, Any], entry: dict[str, Any]) -> bool:
    return all(name in combination and combination[name] == value for name, value in entry.items())
