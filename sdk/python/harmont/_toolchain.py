"""What toolchains share: the chain apt-base → install → deps → actions, checks, quoting."""

from __future__ import annotations

from datetime import timedelta

from harmont._shell import change_folder, quote
from harmont._step import Step, scratch
from harmont.cache import forever, on_change, ttl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypedDict

    from harmont._step import Network
    from harmont.cache import CachePolicy

    class StepOptions(TypedDict, total=False):
        """What every action passes on to `Step.sh`."""

        cwd: str | None
        label: str | None
        cache: CachePolicy | None
        env: Mapping[str, str] | None
        image: str | None
        runner: str | None
        runner_args: Any
        key: str | None
        retry: int | Mapping[str, Any] | None
        allow_failure: bool
        outputs: Iterable[str]
        secrets: Iterable[str | Mapping[str, str]]
        services: Iterable[Mapping[str, Any]]
        resources: Mapping[str, float] | None
        network: Network | None
        mounts: Iterable[Mapping[str, str]]


DAY = timedelta(days=1)


def apt_base(*, packages: Iterable[str], image: str | None = None, label: str = ":apt: base") -> Step:
    """A machine with Debian packages, made anew once a day.

    >>> apt_base(packages=("git", "curl")).cmd
    'apt-get update && apt-get install -y git curl'
    """
    names = words(packages, "packages")
    if not names:
        raise ValueError('hm.apt_base: packages must not be empty\n  fix: packages=("curl",)')
    return scratch().sh(
        f"apt-get update && apt-get install -y {' '.join(names)}", label=label, image=image, cache=ttl(DAY)
    )


def base_step(tag: str, packages: str, image: str | None, base: Step | None) -> Step:
    """The user's own base, or a machine with `packages`."""
    if base is None:
        return apt_base(packages=packages.split(), image=image, label=f":{tag}: apt-base")
    if not isinstance(base, Step):
        raise TypeError(f"hm: base= must be a step, not {type(base).__name__}")
    return base


def install(base: Step, tag: str, name: str, cmd: str, env: Mapping[str, str] | None = None) -> Step:
    """A step that is cached until its command changes."""
    return base.sh(cmd, label=f":{tag}: {name}", cache=forever(), env=env)


def action(parent: Step, tag: str, name: str, cmd: str, options: StepOptions) -> Step:
    """An uncached step with a label that the user's options may replace."""
    merged: Any = {"label": f":{tag}: {name}", **options}
    return parent.sh(cmd, **merged)


def dependencies(
    parent: Step, tag: str, name: str, path: str, cmd: str, watched: Iterable[str], env: Mapping[str, str] | None = None
) -> Step:
    """A step in the project at `path` that is cached until one of the `watched` files of the project changes."""
    paths = (f"{path}/{file}" for file in watched)
    return parent.sh(within(path, cmd), label=f":{tag}: {name}", cache=on_change(*paths), env=env)


class Project:
    """A project at `path` on a machine with its toolchain and dependencies."""

    path: str
    installed: Step
    tag: str
    _env: Mapping[str, str] | None = None

    def _action(self, name: str, cmd: str, options: StepOptions) -> Step:
        chosen: Any = options
        if self._env is not None:
            chosen = {**options, "env": {**self._env, **(options.get("env") or {})}}
        return action(self.installed, self.tag, name, within(self.path, cmd), chosen)


def command_line(cmd: str, owner: str) -> str:
    """`cmd`, a command line that goes to the shell as it is."""
    if not isinstance(cmd, str) or not cmd.split():
        raise ValueError(f"hm.{owner}: run needs a command, got {cmd!r}")
    return cmd


def within(path: str, cmd: str) -> str:
    """`cmd` in the folder `path`."""
    if not path:
        raise ValueError(
            'hm: path must not be empty\n  fix: leave path out for the workspace itself, or write path="some/folder"'
        )
    return f"{change_folder(path)} && {cmd}"


def words(values: Iterable[str], what: str) -> list[str]:
    """The words in `values`, each quoted when it needs to be; one value may hold several, as on a command line."""
    if isinstance(values, str):
        raise TypeError(f"hm: {what} must be a list or tuple, not one str\n  fix: write {what}=({values!r},)")
    found: list[str] = []
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"hm: {what} must hold str only, got {type(value).__name__}")
        found.extend(quote(word) for word in _split(value))
    return found


def _split(text: str) -> list[str]:
    if any(char in text for char in "'\"\\"):
        from shlex import split

        return split(text)
    return text.split()


def version_number(value: str, *, parts: tuple[int, ...]) -> bool:
    """Whether `value` is as many numbers with dots between as `parts` allows."""
    numbers = value.split(".") if isinstance(value, str) else []
    return len(numbers) in parts and all(number.isascii() and number.isdigit() for number in numbers)


def refuse(toolchain: str, option: str, value: object, fix: str) -> ValueError:
    """The error for a value that can't be used."""
    return ValueError(f"hm.{toolchain}: invalid {option} {value!r}\n  fix: {fix}")


class BareAction:
    """The bare form of an action: `hm.go.test(path="api", label="api")` is `hm.go(path="api").test(label="api")`.

    `defaults` are settings that the bare form has and the entry has not.
    """

    def __init__(self, **defaults: str) -> None:
        self._defaults = defaults

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, entry: Any, _owner: type | None = None) -> Callable[..., Step]:
        code = type(entry).__call__.__code__
        settings = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]

        def bare(*args: Any, **options: Any) -> Step:
            chosen = {name: options.pop(name) for name in settings if name in options}
            return getattr(entry(**{**self._defaults, **chosen}), self._name)(*args, **options)

        return bare
