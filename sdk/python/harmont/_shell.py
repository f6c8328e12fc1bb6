"""Shell quoting."""

from __future__ import annotations

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-")


def quote(text: str) -> str:
    """`text` as one word of a POSIX shell; unchanged when it needs no quotes."""
    if text and _SAFE.issuperset(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def change_folder(path: str) -> str:
    """The `cd` command for `path`."""
    if path.startswith("-"):
        path = "./" + path
    return "cd " + quote(path)
