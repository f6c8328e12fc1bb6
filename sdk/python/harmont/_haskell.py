"""Haskell from ghcup, with cabal or stack."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, refuse, version_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Unpack

    from harmont._toolchain import StepOptions

    Tool = Literal["cabal", "stack"]

_TAG = "haskell"
_PACKAGES = (
    "build-essential curl ca-certificates git libffi-dev libgmp-dev libncurses-dev pkg-config xz-utils zlib1g-dev"
)
_GHCUP = "https://downloads.haskell.org/~ghcup/$(uname -m)-linux-ghcup"
_PREFIX = "/usr/local"
_GHC = "9.8.4"
_CABAL = "3.12.1.0"
_STACK = "3.1.1"
_WATCHED = {
    "cabal": ("cabal.project.freeze", "cabal.project", "**/*.cabal"),
    "stack": ("stack.yaml.lock", "stack.yaml", "**/package.yaml", "**/*.cabal"),
}
_FETCH = {
    "cabal": "cabal update && cabal build all --enable-tests --only-dependencies",
    "stack": "stack build --test --only-dependencies",
}


@record(eq=False)
class HaskellProject(Project):
    """A machine with cabal or stack and the dependencies of the project at `path`."""

    path: str
    tool: Tool
    installed: Step
    tag = _TAG

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """`cabal build all` or `stack build`"""
        return self._action(
            "build", self._with("cabal build all --enable-tests", "stack build --test --no-run-tests"), options
        )

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`cabal test all` or `stack test`"""
        return self._action("test", self._with("cabal test all", "stack test"), options)

    def doc(self, **options: Unpack[StepOptions]) -> Step:
        """`cabal haddock all` or `stack haddock`"""
        return self._action("doc", self._with("cabal haddock all", "stack haddock --no-haddock-deps"), options)

    def check(self, **options: Unpack[StepOptions]) -> Step:
        """`cabal check`: whether the package could be published. With stack, `stack sdist --test-tarball` tells it."""
        return self._action("check", self._with("cabal check", "stack sdist --test-tarball"), options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.test())

    def _with(self, cabal: str, stack: str) -> str:
        return cabal if self.tool == "cabal" else stack


class HaskellEntry:
    """`hm.haskell(path=...)` and the bare form `hm.haskell.test(path=...)`.

    >>> import harmont as hm
    >>> hm.haskell(path="app").test().cmd
    'cd app && cabal test all'
    >>> hm.haskell.build(tool="stack").cmd
    'cd . && stack build --test --no-run-tests'
    """

    build = BareAction()
    test = BareAction()
    doc = BareAction()
    check = BareAction()

    def __call__(
        self,
        *,
        path: str = ".",
        tool: Tool = "cabal",
        ghc_version: str | None = None,
        image: str | None = None,
        base: Step | None = None,
    ) -> HaskellProject:
        """Installs the tool, with cabal also GHC, and builds the dependencies; stack brings the GHC of its snapshot."""
        if tool not in _FETCH:
            raise refuse("haskell", "tool", tool, 'use "cabal" or "stack"')
        if tool == "stack" and ghc_version is not None:
            raise refuse("haskell", "ghc_version", ghc_version, "leave it out: stack.yaml chooses the GHC of stack")
        if ghc_version is not None and not version_number(ghc_version, parts=(3,)):
            raise refuse("haskell", "ghc_version", ghc_version, 'use a version like "9.8.4"')
        tools = [("stack", _STACK)] if tool == "stack" else [("ghc", ghc_version or _GHC), ("cabal", _CABAL)]
        chosen = " && ".join(f"ghcup install {name} {version} --set" for name, version in tools)
        installed = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            f"{tool}-install",
            f"curl -fsSL {_GHCUP} -o {_PREFIX}/bin/ghcup && chmod +x {_PREFIX}/bin/ghcup"
            f" && export GHCUP_INSTALL_BASE_PREFIX={_PREFIX} && {chosen}"
            f" && ln -sf {_PREFIX}/.ghcup/bin/* {_PREFIX}/bin/ && {tool} --version",
        )
        deps = dependencies(installed, _TAG, "deps", path, _FETCH[tool], _WATCHED[tool])
        return HaskellProject(path=path, tool=tool, installed=deps)


haskell = HaskellEntry()
