"""Zig from its release tarball."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, action, base_step, install, refuse, version_number, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Unpack, overload

    from harmont._toolchain import StepOptions

# From this version on the name of the tarball has the processor first.
_PROCESSOR_FIRST = (0, 14, 1)
_MACHINE = "$(uname -m)"


@record(eq=False)
class ZigToolchain:
    """A machine with Zig."""

    version: str
    installed: Step

    def project(self, path: str = ".") -> ZigProject:
        """A project at `path` on this machine."""
        return ZigProject(path=path, installed=self.installed)

    def default_actions(self) -> tuple[Step, ...]:
        """What the toolchain stands for as a leaf."""
        return self.project().default_actions()


@record(eq=False)
class ZigProject:
    """A machine with Zig and a project at `path`."""

    path: str
    installed: Step

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """`zig build`"""
        return self._action("build", "zig build", options)

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`zig build test`"""
        return self._action("test", "zig build test", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._action("fmt", "zig fmt --check .", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.test(), self.fmt())

    def _action(self, name: str, cmd: str, options: StepOptions) -> Step:
        return action(self.installed, "zig", f"{self.path} {name}", within(self.path, cmd), options)


class ZigEntry:
    """`hm.zig(path=...)` is a project, `hm.zig()` a toolchain, `hm.zig.test(path=...)` the bare form.

    >>> import harmont as hm
    >>> hm.zig(path="lib").test().cmd
    'cd lib && zig build test'
    """

    build = BareAction(path=".")
    test = BareAction(path=".")
    fmt = BareAction(path=".")

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, *, version: str = "0.14.1", image: str | None = None, base: Step | None = None
        ) -> ZigToolchain: ...
        @overload
        def __call__(
            self, *, path: str, version: str = "0.14.1", image: str | None = None, base: Step | None = None
        ) -> ZigProject: ...

    def __call__(
        self,
        *,
        path: str | None = None,
        version: str = "0.14.1",
        image: str | None = None,
        base: Step | None = None,
    ) -> Any:
        """Installs Zig `version`, for the project at `path` if given."""
        if not version_number(version, parts=(3,)):
            raise refuse("zig", "version", version, 'use a version like "0.14.1"')
        numbers = tuple(int(part) for part in version.split("."))
        target = f"{_MACHINE}-linux" if numbers >= _PROCESSOR_FIRST else f"linux-{_MACHINE}"
        tarball = f"https://ziglang.org/download/{version}/zig-{target}-{version}.tar.xz"
        installed = install(
            base_step("zig", "curl ca-certificates xz-utils", image, base),
            "zig",
            "install",
            f"curl -fsSL {tarball} -o /tmp/zig.tar.xz && rm -rf /usr/local/zig && mkdir -p /usr/local/zig"
            " && tar -xJf /tmp/zig.tar.xz -C /usr/local/zig --strip-components=1"
            " && ln -sf /usr/local/zig/zig /usr/local/bin/zig && zig version",
        )
        toolchain = ZigToolchain(version=version, installed=installed)
        return toolchain if path is None else toolchain.project(path)


zig = ZigEntry()
