"""Options of a step beyond its command: their short forms, checks and IR form."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from harmont._duration import Duration

_RETRY_ON = ("exit", "timeout", "infra")
_NETWORKS = ("host", "isolated", "none")
_LIMITS = ("cpus", "memory_mib", "pids")


def secret(name: str, *, env: str | None = None, file: str | None = None) -> dict[str, str]:
    """A secret by name, put into the variable `env` (the name itself by default) or into `file`."""
    if env is not None and file is not None:
        raise ValueError(f"hm.secret: {name!r} goes into env or into file, not both")
    _text(name, "hm.secret: the name")
    if file is not None:
        return {"name": name, "file": _text(file, "hm.secret: file")}
    return {"name": name, "env": name if env is None else _text(env, "hm.secret: env")}


def service(
    name: str,
    image: str,
    *,
    cmd: str | None = None,
    env: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
    ready: str | None = None,
    ready_timeout: Duration | None = None,
) -> dict[str, Any]:
    """A side container; `ready` is a command in it that succeeds once it can be used."""
    written: dict[str, Any] = {"name": _text(name, "hm.service: the name"), "image": _text(image, "hm.service: image")}
    if cmd is not None:
        written["cmd"] = _text(cmd, "hm.service: cmd")
    if env is not None:
        written["env"] = environment(env)
    if ports:
        written["ports"] = list(ports)
    if ready is not None:
        readiness: dict[str, Any] = {"cmd": _text(ready, "hm.service: ready")}
        if ready_timeout is not None:
            from harmont._duration import seconds

            readiness["timeout_seconds"] = seconds(ready_timeout, "readiness timeout")
        written["ready"] = readiness
    return written


def cache_dir(name: str, path: str) -> dict[str, str]:
    """A folder shared between builds under `name`, seen by the step at `path`."""
    return {"kind": "cache", "name": _text(name, "hm.cache_dir: the name"), "path": _text(path, "hm.cache_dir: path")}


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """A checked copy of `env`."""
    copy: dict[str, str] = {}
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise ValueError(f"hm: {name!r} is not a name of an environment variable")
        if not isinstance(value, str):
            raise TypeError(
                f"hm: the value of the variable {name!r} must be a str, not {type(value).__name__}\n"
                f"  fix: write env={{{name!r}: {str(value)!r}}}"
            )
        copy[name] = value
    return copy


def retry_policy(retry: int | Mapping[str, Any]) -> dict[str, Any]:
    """`2` or `{"max": 2, "on": ["exit"]}` as the IR writes it."""
    policy: dict[str, Any] = {"max": retry} if isinstance(retry, int) else dict(retry) if hasattr(retry, "keys") else {}
    unknown = sorted(set(policy) - {"max", "on"})
    count = policy.get("max")
    if unknown or isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f'hm: retry must be a count or {{"max": n, "on": [...]}}, got {retry!r}')
    written: dict[str, Any] = {"max": count}
    if "on" in policy:
        on: Any = policy["on"]
        ends: list[str] = [on] if isinstance(on, str) else list(on)
        for end in ends:
            if end not in _RETRY_ON:
                raise ValueError(f"hm: retry on {end!r} is not known\n  fix: use one of {', '.join(_RETRY_ON)}")
        written["on"] = ends
    return written


def secret_list(secrets: Iterable[str | Mapping[str, str]]) -> tuple[dict[str, str], ...]:
    """Names or `hm.secret(...)`, as the IR writes them."""
    return tuple(secret(entry) if isinstance(entry, str) else dict(entry) for entry in _many(secrets, "secrets"))


def dictionaries(entries: Iterable[Any], what: str, maker: str) -> tuple[dict[str, Any], ...]:
    """Entries that `maker` made."""
    made: list[dict[str, Any]] = []
    for entry in _many(entries, what):
        if not isinstance(entry, dict):
            raise TypeError(f"hm: {what} must hold {maker} only, got {type(entry).__name__}")
        made.append({**entry})
    return tuple(made)


def texts(values: Iterable[str], what: str) -> tuple[str, ...]:
    """A list of str."""
    return tuple(_text(value, f"hm: an entry of {what}") for value in _many(values, what))


def limits(resources: Mapping[str, Any]) -> dict[str, float]:
    """`{"cpus": 2, "memory_mib": 2048, "pids": 512}`, each optional."""
    written: dict[str, float] = {}
    for name, value in resources.items():
        if name not in _LIMITS:
            raise ValueError(f"hm: resources has no {name!r}\n  fix: use {', '.join(_LIMITS)}")
        whole = name != "cpus"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            raise ValueError(f"hm: {name} must be a {'whole ' if whole else ''}number above 0, got {value!r}")
        written[name] = value
    return written


def network_mode(network: str) -> str:
    """`host`, `isolated` or `none`."""
    if network not in _NETWORKS:
        raise ValueError(f"hm: network {network!r} is not known\n  fix: use one of {', '.join(_NETWORKS)}")
    return network


def _many(values: Any, what: str) -> Iterable[Any]:
    if isinstance(values, (str, dict)):
        kind = "str" if isinstance(values, str) else "dict"
        raise TypeError(f"hm: {what} must be a list or tuple, not one {kind}")
    return values


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} must not be empty")
    return value
