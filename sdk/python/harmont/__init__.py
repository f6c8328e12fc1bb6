"""Pipelines for `hm` in Python.

>>> import harmont as hm
>>> build = hm.sh("make", label="build")
>>> document = hm.pipeline([build.sh("make check", label="test")])
"""

from __future__ import annotations

from harmont import cache, triggers
from harmont._envelope import dump_registry_json, pipeline_to_json
from harmont._matrix import matrix
from harmont._options import cache_dir, secret, service
from harmont._pipeline import pipeline
from harmont._step import Step, group, scratch, sh, timeout, wait
from harmont._target import clear_target_cache, target
from harmont._typing import BaseImage, Target
from harmont.cache import (
    CacheCompose,
    CacheForever,
    CacheNone,
    CacheOnChange,
    CachePolicy,
    CacheTTL,
    auto,
    compose,
    forever,
    on_change,
    ttl,
)
from harmont.triggers import pull_request, push, schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harmont import py
    from harmont._cmake import CMakeProject, CMakeToolchain, cmake
    from harmont._dotnet import dotnet
    from harmont._elixir import elixir
    from harmont._elm import elm
    from harmont._go import go
    from harmont._gradle import gradle, java, kotlin
    from harmont._haskell import haskell
    from harmont._js import JsProject, js, ts
    from harmont._ocaml import ocaml
    from harmont._perl import perl
    from harmont._php import php
    from harmont._python import python
    from harmont._ruby import ruby
    from harmont._rust import RustProject, rust
    from harmont._toolchain import apt_base
    from harmont._zig import zig
    from harmont.types import Pipeline

pr = pull_request

_TOOLCHAINS = {
    "apt_base": "_toolchain",
    "cmake": "_cmake",
    "dotnet": "_dotnet",
    "elixir": "_elixir",
    "elm": "_elm",
    "go": "_go",
    "gradle": "_gradle",
    "haskell": "_haskell",
    "java": "_gradle",
    "js": "_js",
    "kotlin": "_gradle",
    "ocaml": "_ocaml",
    "perl": "_perl",
    "php": "_php",
    "py": "",
    "python": "_python",
    "ruby": "_ruby",
    "rust": "_rust",
    "ts": "_js",
    "zig": "_zig",
}
_LAZY = {
    **_TOOLCHAINS,
    "CMakeProject": "_cmake",
    "CMakeToolchain": "_cmake",
    "JsProject": "_js",
    "Pipeline": "types",
    "RustProject": "_rust",
}

__all__ = [
    "BaseImage",
    "CMakeProject",
    "CMakeToolchain",
    "CacheCompose",
    "CacheForever",
    "CacheNone",
    "CacheOnChange",
    "CachePolicy",
    "CacheTTL",
    "JsProject",
    "Pipeline",
    "RustProject",
    "Step",
    "Target",
    "apt_base",
    "auto",
    "cache",
    "cache_dir",
    "clear_target_cache",
    "cmake",
    "compose",
    "dotnet",
    "dump_registry_json",
    "elixir",
    "elm",
    "forever",
    "go",
    "gradle",
    "group",
    "haskell",
    "java",
    "js",
    "kotlin",
    "matrix",
    "ocaml",
    "on_change",
    "perl",
    "php",
    "pipeline",
    "pipeline_to_json",
    "pr",
    "pull_request",
    "push",
    "py",
    "python",
    "ruby",
    "rust",
    "schedule",
    "scratch",
    "secret",
    "service",
    "sh",
    "target",
    "timeout",
    "triggers",
    "ts",
    "ttl",
    "wait",
    "zig",
]


def __getattr__(name: str) -> object:
    """Loads what not every pipeline needs when it is first named."""
    module = _LAZY.get(name)
    if module is not None:
        import sys

        # A toolchain without a module of its own is the module of its name.
        path = f"harmont.{module or name}"
        __import__(path)
        value = getattr(sys.modules[path], name) if module else sys.modules[path]
        globals()[name] = value
        return value
    raise AttributeError(_unknown(name))


def _unknown(name: str) -> str:
    """What to say of a name that this package doesn't have."""
    text = f"module 'harmont' has no attribute {name!r}"
    if name.startswith("_"):
        return text
    from difflib import get_close_matches

    close = get_close_matches(name, __all__, n=1)
    if close:
        return f"hm: {text}\n  fix: write {close[0]}"
    return f"hm: {text} (toolchains in this version: {', '.join(_TOOLCHAINS)})"
