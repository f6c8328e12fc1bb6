"""Where steps were written, for those who tell people what is wrong with one.

Nothing is noted until somebody asks for it, and nothing of it is in the documents.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Place = tuple[str, int]

_is_users: Callable[[str], bool] | None = None
# The answer for each file that was met.
_known: dict[str, bool] = {}


def record(is_users: Callable[[str], bool]) -> None:
    """From here on each step is noted with its place; `is_users` tells the files of the user from others."""
    global _is_users
    _is_users = is_users
    _known.clear()


def here() -> Place | None:
    """The file and line of the innermost call in a user's file."""
    if _is_users is None:
        return None
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        name = frame.f_code.co_filename
        users = _known.get(name)
        if users is None:
            users = _known[name] = _is_users(name)
        if users:
            return name, frame.f_lineno
        frame = frame.f_back
    return None
