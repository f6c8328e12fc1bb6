"""Ways to work with Python projects.

>>> import harmont as hm
>>> hm.py.uv(path="tool").run("python -m tool").cmd
'cd tool && uv run python -m tool'
"""

from __future__ import annotations

from harmont._python import uv

__all__ = ["uv"]
