"""Cache policies: what decides whether an earlier result of a step may be used."""

from __future__ import annotations

from harmont._record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from typing import Any


@record()
class CachePolicy:
    """Base of all policies."""


@record()
class CacheNone(CachePolicy):
    """Never cached."""


@record()
class CacheForever(CachePolicy):
    """Cached for its command, its environment and the named variables of the machine."""

    env_keys: tuple[str, ...] = ()


@record()
class CacheTTL(CachePolicy):
    """As `CacheForever`, and only within one window of `duration`."""

    duration: timedelta
    env_keys: tuple[str, ...] = ()


@record()
class CacheOnChange(CachePolicy):
    """Cached until one of the files changes in name, mode or contents."""

    paths: tuple[str, ...]


@record()
class CacheCompose(CachePolicy):
    """All of the policies at once."""

    policies: tuple[CachePolicy, ...]


@record()
class CacheAuto(CachePolicy):
    """Cached for the inputs that the step was seen to read."""


def forever(env_keys: Iterable[str] = ()) -> CacheForever:
    """Cached until the command, its environment or one of the machine's variables `env_keys` changes."""
    return CacheForever(env_keys=_names(env_keys, "env_keys"))


def ttl(duration: timedelta, env_keys: Iterable[str] = ()) -> CacheTTL:
    """As `forever`, and renewed every `duration`: `hm.ttl(timedelta(days=1))`."""
    if not hasattr(duration, "total_seconds"):
        raise TypeError(
            f"hm.ttl: the duration must be a datetime.timedelta, not {type(duration).__name__}\n"
            "  fix: write for example hm.ttl(timedelta(days=1))"
        )
    if int(duration.total_seconds()) <= 0:
        raise ValueError(f"hm.ttl: the duration must be at least one second, got {duration!r}")
    return CacheTTL(duration=duration, env_keys=_names(env_keys, "env_keys"))


def on_change(*paths: str) -> CacheOnChange:
    """Cached until a file that matches one of `paths` changes: `hm.on_change("Cargo.lock", "**/*.rs")`."""
    return CacheOnChange(paths=_names(paths, "paths"))


def compose(*policies: CachePolicy) -> CacheCompose:
    """Cached as long as every one of `policies` holds."""
    for policy in policies:
        require_policy(policy)
    return CacheCompose(policies=policies)


def auto() -> CacheAuto:
    """Cached for the inputs that the step was seen to read."""
    return CacheAuto()


def require_policy(value: object) -> None:
    """Refuses what is no policy, at the place where it was given."""
    if not isinstance(value, CachePolicy):
        raise TypeError(
            f"hm: cache= must be a cache policy, not {type(value).__name__}\n"
            "  fix: use hm.forever(), hm.ttl(...), hm.on_change(...), hm.compose(...) or hm.CacheNone()"
        )


def lower(policy: CachePolicy) -> dict[str, Any]:
    """The policy as the IR writes it."""
    if isinstance(policy, CacheNone):
        return {"policy": "none"}
    if isinstance(policy, CacheForever):
        return {"policy": "forever", "env_keys": list(policy.env_keys)}
    if isinstance(policy, CacheTTL):
        duration = int(policy.duration.total_seconds())
        return {"policy": "ttl", "duration_seconds": duration, "env_keys": list(policy.env_keys)}
    if isinstance(policy, CacheOnChange):
        return {"policy": "on_change", "paths": list(policy.paths)}
    if isinstance(policy, CacheCompose):
        return {"policy": "compose", "sub_policies": [lower(part) for part in policy.policies]}
    if isinstance(policy, CacheAuto):
        return {"policy": "auto"}
    raise TypeError(f"hm: {type(policy).__name__} is not a cache policy that the IR can write")


def _names(values: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"hm: {what} must be a list or tuple of names, not one str\n  fix: write {what}=({values!r},)")
    names = tuple(values)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"hm: {what} must hold str only, got {type(name).__name__}")
    return names
