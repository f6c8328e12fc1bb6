"""Declarations that were refused, for those who go on with the rest of the file.

Nothing is kept until somebody asks for it: elsewhere the error is raised where the declaration stands.
"""

from __future__ import annotations

from harmont._places import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harmont._places import Place

    Refusal = tuple[Exception, Place | None, str | None]

_kept: list[Refusal] | None = None


def keep() -> None:
    """From here on refusals are kept and not raised."""
    global _kept
    _kept = []


def is_kept(error: Exception, slug: str | None = None) -> bool:
    """Keeps the error of a declaration with its place; `slug` is that of the pipeline where it has one."""
    if _kept is None:
        return False
    _kept.append((error, here(), slug))
    return True


def take() -> list[Refusal]:
    """Those that were kept since the last call."""
    global _kept
    taken = _kept or []
    if _kept is not None:
        _kept = []
    return taken
