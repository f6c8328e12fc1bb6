"""`pipeline`: the decorator that declares one, and the factory that lowers leaves."""

from __future__ import annotations

from harmont._duration import seconds
from harmont._lower import lower
from harmont._options import environment
from harmont._parameters import code_of, markers
from harmont._refusals import is_kept
from harmont._registry import Registration, register
from harmont._step import Step
from harmont._target import call, dress
from harmont.triggers import Trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType
    from typing import Any, TypeVar, overload

    from harmont._duration import Duration

    _F = TypeVar("_F", bound=Callable[..., Any])

    @overload
    def pipeline(
        leaves: list[Any] | tuple[Any, ...], /, *, env: Mapping[str, str] | None = None, timeout: Duration | None = None
    ) -> dict[str, Any]: ...
    @overload
    def pipeline(function: _F, /) -> _F: ...
    @overload
    def pipeline(
        slug: str | None = None,
        *,
        name: str | None = None,
        triggers: Sequence[Trigger] = (),
        allow_manual: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
        default_image: str | None = None,
    ) -> Callable[[_F], _F]: ...


_SLUG_START = frozenset("abcdefghijklmnopqrstuvwxyz")
_SLUG_REST = _SLUG_START | frozenset("0123456789-")


def pipeline(*args: Any, **kwargs: Any) -> Any:
    """Declares a pipeline, or lowers leaves to the IR document.

    >>> @pipeline("ci")
    ... def ci():
    ...     return scratch().sh("make")

    >>> document = pipeline([scratch().sh("make")])
    """
    steps = sum(isinstance(arg, Step) for arg in args)
    if steps:
        raise TypeError(
            f"hm.pipeline: the steps go into one list, got {steps} as arguments\n"
            "  fix: hm.pipeline([step]) or hm.pipeline([first, second])"
        )
    if args and isinstance(args[0], (list, tuple)):
        return _factory(*args, **kwargs)
    if len(args) == 1 and not kwargs and callable(args[0]):
        return _decorator()(args[0])
    try:
        return _decorator(*args, **kwargs)
    except (TypeError, ValueError) as error:
        if not is_kept(error):
            raise
        return _as_it_is


def _factory(
    leaves: list[Any] | tuple[Any, ...],
    *,
    env: Mapping[str, str] | None = None,
    timeout: Duration | None = None,
    default_image: str | None = None,
) -> dict[str, Any]:
    return lower(leaves, env=env, timeout=timeout, default_image=default_image)


def _decorator(
    slug: str | None = None,
    *,
    name: str | None = None,
    triggers: Sequence[Trigger] = (),
    allow_manual: bool = True,
    env: Mapping[str, str] | None = None,
    timeout: Duration | None = None,
    default_image: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    if slug is not None:
        _check_slug(slug)
    chosen = _triggers(triggers)
    checked_env = None if env is None else environment(env)
    if timeout is not None:
        seconds(timeout)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own_slug = slug
        try:
            code = code_of(function)
            if own_slug is None:
                named = function.__name__.replace("_", "-")
                _check_slug(named)
                own_slug = named
            return declare(function, own_slug, code)
        except (TypeError, ValueError) as error:
            if not is_kept(error, own_slug):
                raise
            return function

    def declare(function: Callable[..., Any], own_slug: str, code: CodeType) -> Callable[..., Any]:
        found = markers(function)

        def make() -> Any:
            return call(function, found, own_slug)

        dress(make, function)
        register(
            Registration(
                slug=own_slug,
                name=own_slug if name is None else name,
                triggers=chosen,
                allow_manual=allow_manual,
                env=checked_env,
                timeout=timeout,
                default_image=default_image,
                code=code,
                make=make,
            )
        )
        return make

    return decorate


# As errors of their arguments name them.
_factory.__qualname__ = _decorator.__qualname__ = "hm.pipeline"


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _triggers(triggers: Sequence[Trigger]) -> tuple[Trigger, ...]:
    chosen = (triggers,) if isinstance(triggers, Trigger) else tuple(triggers)
    for trigger in chosen:
        if not isinstance(trigger, Trigger):
            raise TypeError(
                f"hm.pipeline: triggers must hold triggers only, got {type(trigger).__name__}\n"
                '  fix: triggers=[hm.push(branch="main"), hm.pull_request()]'
            )
    return chosen


def _check_slug(slug: str) -> None:
    if not isinstance(slug, str):
        raise TypeError(f"hm.pipeline: a slug must be a str, not {type(slug).__name__}")
    if not 1 <= len(slug) <= 64 or slug[0] not in _SLUG_START or not _SLUG_REST.issuperset(slug):
        raise ValueError(
            f"hm.pipeline: {slug!r} is no slug\n"
            "  fix: use up to 64 lower-case letters, digits and '-', with a letter first"
        )
