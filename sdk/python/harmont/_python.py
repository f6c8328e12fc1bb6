"""Python projects with uv."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import BareAction, action, base_step, install, refuse, version_number, within
from harmont.cache import on_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "python"


@record(eq=False)
class PythonToolchain:
    """A machine with uv and the project at `path` synced."""

    path: str
    installed: Step

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`uv run pytest`"""
        return self._action("test", "uv run pytest", options)

    def lint(self, **options: Unpack[StepOptions]) -> Step:
        """`uv run ruff check .`"""
        return self._action("lint", "uv run ruff check .", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._action("fmt", "uv run ruff format --check .", options)

    def typecheck(self, *, paths: str | Sequence[str] | None = None, **options: Unpack[StepOptions]) -> Step:
        """`uv run ty check`, of everything or of `paths`."""
        chosen = ["."] if paths is None else [paths] if isinstance(paths, str) else paths
        return self._action("typecheck", f"uv run ty check {' '.join(quote(path) for path in chosen)}", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the toolchain stands for as a leaf."""
        return (self.test(), self.lint(), self.fmt())

    def _action(self, name: str, cmd: str, options: StepOptions) -> Step:
        return action(self.installed, _TAG, name, within(self.path, cmd), options)


@record(eq=False)
class UvProject(PythonToolchain):
    """A project of `hm.py.uv`, with what uv does beside running tools."""

    path: str
    installed: Step

    def run(self, cmd: str, **options: Unpack[StepOptions]) -> Step:
        """`uv run CMD`, where `cmd` is a command line of its own."""
        if not isinstance(cmd, str) or not cmd.split():
            raise ValueError(f"hm.py.uv: run needs a command, got {cmd!r}")
        return self._action(cmd.split()[0], f"uv run {cmd}", options)

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """`uv build`"""
        return self._action("build", "uv build", options)

    def lock_check(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when uv.lock does not belong to pyproject.toml."""
        return self._action("lock-check", "uv lock --check", options)

    def publish(self, **options: Unpack[StepOptions]) -> Step:
        """`uv publish`"""
        return self._action("publish", "uv publish", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.test(),)


def _synced(toolchain: str, option: str, path: str, version: str, image: str | None, base: Step | None) -> Step:
    if version != "latest" and not version_number(version, parts=(3,)):
        raise refuse(toolchain, option, version, 'use "latest" or a version like "0.5.1"')
    pinned = "" if version == "latest" else f"/{version}"
    uv = install(
        base_step(_TAG, "curl ca-certificates python3 python3-venv", image, base),
        _TAG,
        "uv-install",
        f"curl -LsSf https://astral.sh/uv{pinned}/install.sh | sh"
        " && ln -sf /root/.local/bin/uv /usr/local/bin/uv && uv --version",
    )
    return uv.sh(
        within(path, "uv sync --all-extras"),
        label=f":{_TAG}: uv-sync",
        cache=on_change(f"{path}/uv.lock", f"{path}/pyproject.toml"),
    )


class PythonEntry:
    """`hm.python(path=...)` and the bare form `hm.python.test(path=...)`.

    >>> import harmont as hm
    >>> hm.python(path="api").lint().cmd
    'cd api && uv run ruff check .'
    """

    test = BareAction()
    lint = BareAction()
    fmt = BareAction()
    typecheck = BareAction()

    def __call__(
        self, *, path: str = ".", uv_version: str = "latest", image: str | None = None, base: Step | None = None
    ) -> PythonToolchain:
        """Installs uv and syncs the project at `path`."""
        installed = _synced("python", "uv_version", path, uv_version, image, base)
        return PythonToolchain(path=path, installed=installed)


class UvEntry:
    """`hm.py.uv(path=...)` and the bare form `hm.py.uv.run("cmd", path=...)`."""

    test = BareAction()
    lint = BareAction()
    fmt = BareAction()
    typecheck = BareAction()
    run = BareAction()
    build = BareAction()
    lock_check = BareAction()
    publish = BareAction()

    def __call__(
        self, *, path: str = ".", version: str = "latest", image: str | None = None, base: Step | None = None
    ) -> UvProject:
        """Installs uv `version` and syncs the project at `path`."""
        return UvProject(path=path, installed=_synced("py.uv", "version", path, version, image, base))


python = PythonEntry()
uv = UvEntry()
