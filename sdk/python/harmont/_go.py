"""Go from its release tarball."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import BareAction, action, base_step, install, refuse, version_number, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_MACHINE = "$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')"


@record(eq=False)
class GoToolchain:
    """A machine with Go and a module at `path`."""

    path: str
    installed: Step

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """`go build ./...`"""
        return self._action("build", "go build ./...", options)

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`go test ./...`"""
        return self._action("test", "go test ./...", options)

    def vet(self, **options: Unpack[StepOptions]) -> Step:
        """`go vet ./...`"""
        return self._action("vet", "go vet ./...", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._action("fmt", 'test -z "$(gofmt -l .)"', options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the toolchain stands for as a leaf."""
        return (self.test(), self.vet(), self.fmt())

    def _action(self, name: str, cmd: str, options: StepOptions) -> Step:
        return action(self.installed, "go", name, within(self.path, cmd), options)


class GoEntry:
    """`hm.go(path=...)` and the bare form `hm.go.test(path=...)`.

    >>> import harmont as hm
    >>> hm.go(path="api").test().cmd
    'cd api && go test ./...'
    """

    build = BareAction()
    test = BareAction()
    vet = BareAction()
    fmt = BareAction()

    def __call__(
        self, *, path: str = ".", version: str = "1.23.2", image: str | None = None, base: Step | None = None
    ) -> GoToolchain:
        """Installs Go `version` for the module at `path`."""
        if not version_number(version, parts=(2, 3)):
            raise refuse("go", "version", version, 'use a version like "1.23.2"')
        tarball = f"https://go.dev/dl/go{quote(version)}.linux-{_MACHINE}.tar.gz"
        installed = install(
            base_step("go", "curl ca-certificates git", image, base),
            "go",
            "install",
            f"curl -fsSL {tarball} -o /tmp/go.tgz && rm -rf /usr/local/go && tar -C /usr/local -xzf /tmp/go.tgz"
            " && ln -sf /usr/local/go/bin/go /usr/local/bin/go && ln -sf /usr/local/go/bin/gofmt /usr/local/bin/gofmt"
            " && go version",
        )
        return GoToolchain(path=path, installed=installed)


go = GoEntry()
