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
    from harmont.types import Pipeline

pr = pull_request

_LAZY: dict[str, tuple[str, str]] = {"Pipeline": ("harmont.types", "Pipeline")}
_TOOLCHAINS: tuple[str, ...] = ()

__all__ = [
    "BaseImage",
    "CacheCompose",
    "CacheForever",
    "CacheNone",
    "CacheOnChange",
    "CachePolicy",
    "CacheTTL",
    "Pipeline",
    "Step",
    "Target",
    "auto",
    "cache",
    "cache_dir",
    "clear_target_cache",
    "compose",
    "dump_registry_json",
    "forever",
    "group",
    "matrix",
    "on_change",
    "pipeline",
    "pipeline_to_json",
    "pr",
    "pull_request",
    "push",
    "schedule",
    "scratch",
    "secret",
    "service",
    "sh",
    "target",
    "timeout",
    "triggers",
    "ttl",
    "wait",
]


def __getattr__(name: str) -> object:
    """Loads what not every pipeline needs when it is first named."""
    if name in _LAZY:
        module, attribute = _LAZY[name]
        __import__(module)
        import sys

        value = getattr(sys.modules[module], attribute)
        globals()[name] = value
        return value
    if name.startswith("_"):
        raise AttributeError(f"module 'harmont' has no attribute {name!r}")
    toolchains = ", ".join(_TOOLCHAINS) or "none"
    raise AttributeError(f"module 'harmont' has no attribute {name!r} (toolchains in this version: {toolchains})")
