"""The pipelines declared so far."""

from __future__ import annotations

from harmont._record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    from harmont._duration import Duration
    from harmont.triggers import Trigger


@record(eq=False)
class Registration:
    """One declared pipeline."""

    slug: str
    name: str
    triggers: tuple[Trigger, ...]
    allow_manual: bool
    env: dict[str, str] | None
    timeout: Duration | None
    default_image: str | None
    code: CodeType
    """What the user has written; it has the place."""
    make: Callable[[], Any]


_registrations: list[Registration] = []


def register(registration: Registration) -> None:
    """Adds a pipeline; slugs are unique."""
    for other in _registrations:
        if other.slug == registration.slug:
            code = other.code
            raise ValueError(
                f"hm: two pipelines have the slug {registration.slug!r}\n"
                f"  the first one: {code.co_filename}:{code.co_firstlineno}\n"
                '  fix: give one of them another name, as in @hm.pipeline("other")'
            )
    _registrations.append(registration)


def registrations() -> list[Registration]:
    """All pipelines in the order of declaration."""
    return list(_registrations)


def forget_file(path: str) -> None:
    """Forgets what a file declared."""
    _registrations[:] = [entry for entry in _registrations if entry.code.co_filename != path]


def clear_registry() -> None:
    """Forgets all pipelines; for tests that declare pipelines again."""
    _registrations.clear()
