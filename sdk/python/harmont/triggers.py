"""What starts a pipeline on a server. Globs: `*` crosses `/`, `?` is one character."""

from __future__ import annotations

from harmont._record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_DEFAULT_TYPES = ("opened", "synchronize", "reopened")
_KNOWN_TYPES = frozenset((*_DEFAULT_TYPES, "closed", "ready_for_review"))


@record()
class Trigger:
    """Base of all triggers."""

    def to_dict(self) -> dict[str, Any]:
        """The trigger as the envelope writes it."""
        raise NotImplementedError


@record()
class PushTrigger(Trigger):
    """A push to a branch, or of a tag."""

    branches: tuple[str, ...] | None
    tags: tuple[str, ...] | None

    def to_dict(self) -> dict[str, Any]:
        if self.branches is not None:
            return {"event": "push", "branches": list(self.branches)}
        return {"event": "push", "tags": list(self.tags or ())}


@record()
class PullRequestTrigger(Trigger):
    """Something that happens to a pull request."""

    branches: tuple[str, ...] | None
    types: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        written: dict[str, Any] = {"event": "pull_request"}
        if self.branches is not None:
            written["branches"] = list(self.branches)
        written["types"] = list(self.types)
        return written


@record()
class ScheduleTrigger(Trigger):
    """A time of the clock."""

    cron: str

    def to_dict(self) -> dict[str, Any]:
        return {"event": "schedule", "cron": self.cron}


def push(branch: str | Sequence[str] | None = None, tag: str | Sequence[str] | None = None) -> PushTrigger:
    """A push to `branch`, or of `tag`: `hm.push(branch="main")`, `hm.push(tag="v*")`."""
    if (branch is None) == (tag is None):
        raise ValueError(
            'hm.push: give exactly one of branch and tag\n  fix: hm.push(branch="main") or hm.push(tag="v*")'
        )
    return PushTrigger(branches=_globs(branch, "branch"), tags=_globs(tag, "tag"))


def pull_request(branches: str | Sequence[str] | None = None, types: Sequence[str] | None = None) -> PullRequestTrigger:
    """A pull request into `branches` that is opened, reopened or gets new commits, or one of `types`."""
    chosen = _DEFAULT_TYPES if types is None else _globs(types, "types") or ()
    for name in chosen:
        if name not in _KNOWN_TYPES:
            known = ", ".join(sorted(_KNOWN_TYPES))
            raise ValueError(f"hm.pull_request: unknown type {name!r}\n  fix: use one of {known}")
    return PullRequestTrigger(branches=_globs(branches, "branches"), types=chosen)


def schedule(cron: str) -> ScheduleTrigger:
    """A time in the five fields of cron: `hm.schedule("0 3 * * *")`."""
    if not isinstance(cron, str) or len(cron.split()) != 5:
        raise ValueError(f'hm.schedule: {cron!r} has not the five fields of cron\n  fix: hm.schedule("0 3 * * *")')
    return ScheduleTrigger(cron=cron)


def _globs(value: str | Sequence[str] | None, what: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    globs = (value,) if isinstance(value, str) else tuple(value)
    for glob in globs:
        if not isinstance(glob, str):
            raise TypeError(f"hm: {what} must be a str or a list of str, got {type(glob).__name__}")
    return globs
