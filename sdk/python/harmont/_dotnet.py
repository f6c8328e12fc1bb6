"""The .NET SDK from its installer."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, refuse, version_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "dotnet"
_PACKAGES = "curl ca-certificates libicu-dev libssl-dev zlib1g"
_ENV = {"DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1"}
_WATCHED = (
    "**/packages.lock.json",
    "**/*.csproj",
    "**/*.fsproj",
    "**/*.vbproj",
    "**/*.sln",
    "**/*.slnx",
    "**/*.props",
    "**/*.targets",
    "global.json",
    "nuget.config",
    "NuGet.config",
    "NuGet.Config",
)


@record(eq=False)
class DotnetProject(Project):
    """A machine with the .NET SDK and the packages of the project at `path`."""

    path: str
    installed: Step
    tag = _TAG
    _env = _ENV

    def build(self, *, configuration: str = "Release", **options: Unpack[StepOptions]) -> Step:
        """`dotnet build` with warnings as errors."""
        return self._dotnet("build", f"build --no-restore -c {quote(configuration)} -warnaserror", options)

    def test(self, *, configuration: str = "Release", **options: Unpack[StepOptions]) -> Step:
        """`dotnet test`"""
        return self._dotnet("test", f"test --no-restore -c {quote(configuration)}", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._dotnet("fmt", "format --no-restore --verify-no-changes", options)

    def pack(self, *, configuration: str = "Release", **options: Unpack[StepOptions]) -> Step:
        """`dotnet pack`"""
        return self._dotnet("pack", f"pack --no-restore -c {quote(configuration)}", options)

    def publish(self, *, configuration: str = "Release", **options: Unpack[StepOptions]) -> Step:
        """`dotnet publish`"""
        return self._dotnet("publish", f"publish --no-restore -c {quote(configuration)}", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.test(), self.fmt())

    def _dotnet(self, name: str, command: str, options: StepOptions) -> Step:
        return self._action(name, f"dotnet {command}", options)


class DotnetEntry:
    """`hm.dotnet(path=...)` and the bare form `hm.dotnet.test(path=...)`.

    >>> import harmont as hm
    >>> hm.dotnet(path="src").test().cmd
    'cd src && dotnet test --no-restore -c Release'
    """

    build = BareAction()
    test = BareAction()
    fmt = BareAction()
    pack = BareAction()
    publish = BareAction()

    def __call__(
        self,
        *,
        path: str = ".",
        version: str = "8.0",
        locked: bool = False,
        image: str | None = None,
        base: Step | None = None,
    ) -> DotnetProject:
        """Installs the SDK and restores the packages of the project at `path`.

        `version` is a channel ("8.0") or one SDK ("8.0.404"); `locked` fails when packages.lock.json does not fit.
        """
        if not version_number(version, parts=(2, 3)):
            raise refuse("dotnet", "version", version, 'use a channel like "8.0" or a version like "8.0.404"')
        option = "--channel" if version.count(".") == 1 else "--version"
        installed = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "install",
            f"curl -fsSL https://dot.net/v1/dotnet-install.sh -o /tmp/dotnet-install.sh"
            f" && bash /tmp/dotnet-install.sh {option} {version} --install-dir /usr/local/dotnet"
            " && ln -sf /usr/local/dotnet/dotnet /usr/local/bin/dotnet && dotnet --version",
            env=_ENV,
        )
        restore = f"dotnet restore{' --locked-mode' if locked else ''}"
        deps = dependencies(installed, _TAG, "restore", path, restore, _WATCHED, _ENV)
        return DotnetProject(path=path, installed=deps)


dotnet = DotnetEntry()
