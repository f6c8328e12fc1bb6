"""Steps and what makes them."""

from __future__ import annotations

from harmont import _options
from harmont._duration import seconds
from harmont._places import here
from harmont._record import record
from harmont._shell import change_folder
from harmont.cache import require_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal

    from harmont._duration import Duration
    from harmont._places import Place
    from harmont.cache import CachePolicy

    Network = Literal["host", "isolated", "none"]

_PLACE = "_place"


@record(eq=False)
class Step:
    """One command in a machine that continues where its parent ended. Two steps are the same only if they are one object."""

    cmd: str | None = None
    parent: Step | None = None
    is_wait: bool = False
    continue_on_failure: bool = False
    label: str | None = None
    cache: CachePolicy | None = None
    env: dict[str, str] | None = None
    timeout_seconds: int | None = None
    image: str | None = None
    runner: str | None = None
    runner_args: Any = None
    key_override: str | None = None
    retry: dict[str, Any] | None = None
    allow_failure: bool = False
    outputs: tuple[str, ...] = ()
    secrets: tuple[dict[str, str], ...] = ()
    services: tuple[dict[str, Any], ...] = ()
    resources: dict[str, float] | None = None
    network: str | None = None
    mounts: tuple[dict[str, str], ...] = ()
    copy_of: Step | None = None
    """The step that this one adds a budget to; both are one node of the graph."""

    def __post_init__(self) -> None:
        if self.cmd is not None and self.copy_of is None:
            # No field: where a step was written is nothing of what it says.
            self.__dict__[_PLACE] = here()

    def sh(
        self,
        cmd: str,
        *,
        cwd: str | None = None,
        label: str | None = None,
        cache: CachePolicy | None = None,
        env: Mapping[str, str] | None = None,
        image: str | None = None,
        runner: str | None = None,
        runner_args: Any = None,
        key: str | None = None,
        retry: int | Mapping[str, Any] | None = None,
        allow_failure: bool = False,
        outputs: Iterable[str] = (),
        secrets: Iterable[str | Mapping[str, str]] = (),
        services: Iterable[Mapping[str, Any]] = (),
        resources: Mapping[str, float] | None = None,
        network: Network | None = None,
        mounts: Iterable[Mapping[str, str]] = (),
    ) -> Step:
        """A step that runs `cmd` in the machine that this step leaves behind.

        >>> build = scratch().sh("make", label="build")
        >>> tests = build.sh("make check", cwd="out")
        >>> tests.cmd
        'cd out && make check'
        """
        if not isinstance(cmd, str):
            raise TypeError(f"hm: a command must be a str, not {type(cmd).__name__}")
        for name, value in (("cwd", cwd), ("label", label), ("key", key), ("image", image), ("runner", runner)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"hm: {name} must be a str, not {type(value).__name__}")
        if cwd is not None:
            if not cwd:
                raise ValueError(
                    'hm: cwd must not be empty\n  fix: leave cwd out for the workspace itself, or write cwd="some/folder"'
                )
            cmd = f"{change_folder(cwd)} && {cmd}"
        if cache is not None:
            require_policy(cache)
        if key == "":
            raise ValueError("hm: key must not be empty\n  fix: leave key out, or give the step a name")
        if image is None and self._is_scratch():
            image = self.image
        return Step(
            cmd=cmd,
            parent=self,
            label=label,
            cache=cache,
            env=None if env is None else _options.environment(env),
            image=image,
            runner=runner,
            runner_args=runner_args,
            key_override=key,
            retry=None if retry is None else _options.retry_policy(retry),
            allow_failure=bool(allow_failure),
            outputs=_options.texts(outputs, "outputs"),
            secrets=_options.secret_list(secrets),
            services=_options.dictionaries(services, "services", "hm.service(...)"),
            resources=None if resources is None else _options.limits(resources),
            network=None if network is None else _options.network_mode(network),
            mounts=_options.dictionaries(mounts, "mounts", "hm.cache_dir(...)"),
        )

    def fork(self, label: str | None = None) -> Step:
        """A point from which several branches start; the label is for the reader of the pipeline only."""
        return Step(parent=self, label=label)

    def _is_scratch(self) -> bool:
        return self.cmd is None and self.parent is None and not self.is_wait

    def __repr__(self) -> str:
        if self.is_wait:
            return f"wait(continue_on_failure={self.continue_on_failure})"
        shown = [
            f"{name}={value!r}" for name in ("cmd", "label", "image") if (value := getattr(self, name)) is not None
        ]
        if self.parent is not None and self.parent.cmd is not None:
            shown.append(f"parent={self.parent.label or self.parent.cmd!r}")
        return f"Step({', '.join(shown)})"


def scratch() -> Step:
    """The empty start of a chain: a fresh machine on the pipeline's image."""
    return Step()


def sh(
    cmd: str,
    *,
    cwd: str | None = None,
    label: str | None = None,
    cache: CachePolicy | None = None,
    env: Mapping[str, str] | None = None,
    image: str | None = None,
    key: str | None = None,
    retry: int | Mapping[str, Any] | None = None,
    allow_failure: bool = False,
    outputs: Iterable[str] = (),
    secrets: Iterable[str | Mapping[str, str]] = (),
    services: Iterable[Mapping[str, Any]] = (),
    resources: Mapping[str, float] | None = None,
    network: Network | None = None,
    mounts: Iterable[Mapping[str, str]] = (),
) -> Step:
    """A step that runs `cmd` in a fresh machine: `hm.sh("make", image="debian:12")`."""
    return scratch().sh(
        cmd,
        cwd=cwd,
        label=label,
        cache=cache,
        env=env,
        image=image,
        key=key,
        retry=retry,
        allow_failure=allow_failure,
        outputs=outputs,
        secrets=secrets,
        services=services,
        resources=resources,
        network=network,
        mounts=mounts,
    )


def wait(*, continue_on_failure: bool = False) -> Step:
    """A barrier among the leaves: what comes after it starts when all before it have ended."""
    return Step(is_wait=True, continue_on_failure=continue_on_failure)


def timeout(duration: Duration, step: Step) -> Step:
    """`step` with a time budget: `hm.timeout("10m", hm.sh("make test"))`."""
    if not isinstance(step, Step):
        raise TypeError(
            f"hm.timeout: the second argument must be a step, not {type(step).__name__}\n"
            '  fix: hm.timeout("30s", hm.sh("make test"))'
        )
    if step.is_wait:
        raise ValueError(
            'hm.timeout: a wait() has no budget\n  fix: give it to a command, as in hm.timeout("30s", hm.sh("make test"))'
        )
    fields = {name: value for name, value in step.__dict__.items() if name != _PLACE}
    fields["timeout_seconds"] = seconds(duration)
    fields["copy_of"] = step if step.copy_of is None else step.copy_of
    return Step(**fields)


def place_of(step: Step) -> Place | None:
    """Where the step was written, if that was noted."""
    origin = step if step.copy_of is None else step.copy_of
    return origin.__dict__.get(_PLACE)


def group(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps as one value, to be returned or passed on together."""
    return tuple(steps)
