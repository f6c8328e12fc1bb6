"""Renders the corpus: `corpus.py write` for the expectations, `corpus.py public` against the public package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OURS = HERE.parent / "python"
PUBLIC = "harmont==0.0.9"

# Runs one file and prints its envelope, or the first error of its evaluation.
RENDER = """
import json, runpy, sys
try:
    runpy.run_path(sys.argv[1])
    import harmont
    print(harmont.dump_registry_json())
except Exception as error:
    print(json.dumps({"error": str(error)}))
"""


def render(case: Path, package: Path) -> Any:
    """The envelope of one case under the package in that folder."""
    env = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", RENDER, str(case)]
    # Toolchains look for files of the project; there are none in the corpus.
    done = subprocess.run(command, env=env, cwd=case.parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def write() -> int:
    """Writes the expectations."""
    for case in sorted(HERE.glob("*/*.py")):
        text = json.dumps(render(case, OURS), indent=1, ensure_ascii=False, sort_keys=True)
        case.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return 0


def public() -> int:
    """Compares with the public package."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hm-conformance" / PUBLIC
    if not (cache / "harmont").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(cache), PUBLIC]
        subprocess.run(pip, check=True)
    wrong = 0
    for case in sorted(HERE.glob("*/*.py")):
        ours, theirs = (without_cache_keys(render(case, package)) for package in (OURS, cache))
        alike = ours == theirs and "error" not in ours
        good = alike == (case.parent.name == "same")
        wrong += not good
        print(f"{'ok' if good else 'WRONG'}  {case.relative_to(HERE)}  {'alike' if alike else 'different'}")
        if not good:
            print(f"  ours:   {json.dumps(ours)}\n  theirs: {json.dumps(theirs)}")
    return 1 if wrong else 0


def without_cache_keys(envelope: Any) -> Any:
    """The envelope without the keys that the public package resolves."""
    if isinstance(envelope, list):
        return [without_cache_keys(item) for item in envelope]
    if isinstance(envelope, dict):
        drop = {"key"} if "policy" in envelope else set()
        return {name: without_cache_keys(item) for name, item in envelope.items() if name not in drop}
    return envelope


if __name__ == "__main__":
    actions = {"write": write, "public": public}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.exit(f"usage: corpus.py {'|'.join(actions)}")
    sys.exit(actions[sys.argv[1]]())
