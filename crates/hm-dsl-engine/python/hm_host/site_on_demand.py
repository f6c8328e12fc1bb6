"""Puts off the search for installed packages until a pipeline imports one.

Reading the `.pth` files of a well-filled site-packages folder takes longer than all the rest of an evaluation.
"""

from __future__ import annotations

import builtins
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _SiteOnDemand:
    """The last finder: loads the installed packages when a module is in no other place, and then looks again."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if path is not None:
            return None
        sys.meta_path.remove(self)
        # Python makes incomplete copies of them where user code has emptied the table.
        sys.modules.update(sys=sys, builtins=builtins)
        import site

        finders = list(sys.meta_path)
        before = list(sys.path)
        site.main()
        if sys.path == before and sys.meta_path == finders:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, None, target)
            if spec is not None:
                return spec
        return None


def defer() -> None:
    """Arranges it; for an interpreter started with `-S`."""
    if not sys.flags.no_site:
        return
    sys.meta_path.append(_SiteOnDemand())  # type: ignore[arg-type]
    names: Any = builtins.__dict__
    names.setdefault("exit", sys.exit)
    names.setdefault("quit", sys.exit)
