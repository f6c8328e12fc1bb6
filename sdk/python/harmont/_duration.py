"""Durations as people write them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

    Duration = str | int | timedelta

_UNITS = {"h": 3600, "m": 60, "s": 1}
_MAX_SECONDS = 2**32 - 1


def seconds(value: Duration, what: str = "timeout") -> int:
    """Whole seconds of `"1h30m"`, an int of seconds or a timedelta.

    >>> seconds("1h30m")
    5400
    """
    if isinstance(value, bool):
        raise TypeError(f"hm: a {what} must be a str, an int or a timedelta, not {value!r}")
    if isinstance(value, str):
        total = _parse(value, what)
    elif isinstance(value, int):
        total = value
    elif hasattr(value, "total_seconds"):
        total = int(value.total_seconds())
    else:
        raise TypeError(f"hm: a {what} must be a str, an int or a timedelta, not {type(value).__name__}")
    if total <= 0:
        raise ValueError(
            f'hm: a {what} must be at least one second, got {value!r}\n  fix: write for example "30s" or "5m"'
        )
    if total > _MAX_SECONDS:
        raise ValueError(f"hm: a {what} must be at most {_MAX_SECONDS} seconds, got {value!r}")
    return total


def _parse(text: str, what: str) -> int:
    total = 0
    digits = ""
    for char in text.strip():
        if char in "0123456789":
            digits += char
        elif char in _UNITS and digits:
            total += int(digits) * _UNITS[char]
            digits = ""
        else:
            digits = "?"
            break
    if digits or not text.strip():
        raise ValueError(
            f"hm: {text!r} is not a {what}\n"
            '  fix: write numbers with the units h, m and s, for example "30s", "5m" or "1h30m"'
        )
    return total
