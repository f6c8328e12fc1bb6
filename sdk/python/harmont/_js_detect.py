"""What a JavaScript project's files say about its runtime and package manager."""

from __future__ import annotations

import json

from harmont._record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The first file that is there decides. A lock file of bun or deno alone also names the runtime.
_LOCK_FILES = (
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("pnpm-lock.yaml", "pnpm"),
    ("deno.lock", "deno"),
    ("yarn.lock", "yarn-classic"),
    ("package-lock.json", "npm"),
)


@record()
class Detected:
    """What was found; None where the files say nothing."""

    runtime: str | None
    pm: str | None
    pinned: str | None
    """The package manager with its version, as `packageManager` has it."""


def detect(path: str) -> Detected:
    """Reads package.json and looks for lock files in `path`, relative to the project."""
    package = _package(path)
    engines = package.get("engines")
    engine = None
    if isinstance(engines, dict):
        engine = next((name for name in ("bun", "deno", "node") if name in engines), None)
    pm, pinned = _package_manager(package.get("packageManager"))
    lock = _lock_file(path)
    if engine is not None:
        runtime = engine
    elif lock == "deno" or (lock == "bun" and pm in (None, "bun")):
        runtime = lock
    else:
        runtime = None
    return Detected(runtime=runtime, pm=pm or (None if lock == "deno" else lock), pinned=pinned)


def has_file(path: str, name: str) -> bool:
    """Whether the project has that file."""
    try:
        open(f"{path}/{name}", "rb").close()
    except OSError:
        return False
    return True


def _lock_file(path: str) -> str | None:
    return next((meaning for name, meaning in _LOCK_FILES if has_file(path, name)), None)


def _package(path: str) -> dict[str, Any]:
    try:
        with open(f"{path}/package.json", encoding="utf-8") as file:
            package: Any = json.load(file)
    except (OSError, ValueError):
        return {}
    return {**package} if isinstance(package, dict) else {}


def _package_manager(value: object) -> tuple[str | None, str | None]:
    """`pnpm@9.1.0` is pnpm, pinned."""
    if not isinstance(value, str):
        return None, None
    name, _, version = value.partition("@")
    if name == "yarn":
        major = version.partition(".")[0]
        name = "yarn-berry" if major.isdigit() and int(major) >= 2 else "yarn-classic"
    if name not in ("npm", "pnpm", "yarn-classic", "yarn-berry", "bun"):
        return None, None
    return name, value if version else None
