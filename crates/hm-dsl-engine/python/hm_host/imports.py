"""What to say of an import that fails."""

from __future__ import annotations


def failed(error: ImportError, file: str, line: int | None) -> str | None:
    """The problem and its fix, where more is known than Python says; the import is at `line` of `file`."""
    if "no known parent package" in str(error):
        return _relative(file, line)
    before, quote, _ = str(error).partition("' from 'harmont' (")
    if error.name != "harmont" or not quote:
        return None
    import harmont

    try:
        getattr(harmont, before.rpartition("'")[2])
    except AttributeError as unknown:
        return str(unknown)
    return None


def _relative(file: str, line: int | None) -> str | None:
    import ast

    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node.lineno == line:
            absolute = ast.Import(node.names) if node.module is None else ast.ImportFrom(node.module, node.names, 0)
            elsewhere = "put what it imports into .hm/, and " if node.level > 1 else ""
            return (
                "hm: the files of .hm/ are no package, so there is nothing that an import can be relative to\n"
                f"  fix: {elsewhere}write: {ast.unparse(absolute)}"
            )
    return None
