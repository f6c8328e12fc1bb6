"""Writes JSON without importing `json`, which costs as much as starting Python."""

from __future__ import annotations

from io import StringIO

try:
    from _json import encode_basestring_ascii as _quote
except ImportError:
    from json.encoder import encode_basestring_ascii as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dumps(value: Any) -> str:
    """`value` as one line of ASCII JSON."""
    # A list of the parts would take ten times the room of the text.
    text = StringIO()
    try:
        _write(value, text.write)
    except RecursionError:
        raise ValueError("hm: a value in a document holds itself, or nests too deep\n  fix: leave it out of what it holds") from None
    return text.getvalue()


def _write(value: Any, put: Any) -> None:
    same: Any = value
    if isinstance(value, str):
        put(_text(value))
    elif value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, int):
        put(int.__repr__(value))
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"hm: {value!r} has no form in JSON")
        put(float.__repr__(value))
    elif isinstance(value, (list, tuple)):
        before = "["
        for item in same:
            put(before)
            _write(item, put)
            before = ", "
        put("]" if value else "[]")
    elif isinstance(value, dict):
        before = "{"
        for name, item in same.items():
            if not isinstance(name, str):
                raise TypeError(f"hm: a member name in JSON must be a str, not {type(name).__name__}")
            put(before)
            put(_text(name))
            put(": ")
            _write(item, put)
            before = ", "
        put("}" if value else "{}")
    else:
        raise TypeError(f"hm: {type(value).__name__} has no form in JSON")


def _text(value: str) -> str:
    if not value.isascii():
        _require_characters(value)
    return _quote(value)


def _require_characters(value: str) -> None:
    """A lone surrogate has no form in UTF-8, so no reader of the document could take it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        fix = "write the whole character, not its two halves"
        if 0xDC80 <= code <= 0xDCFF:
            fix = "give files and variables names and values in UTF-8; this is a byte that Python could not read as such"
        raise ValueError(f"hm: {value!r} has half of a character (U+{code:04X}), which is no text\n  fix: {fix}") from None
