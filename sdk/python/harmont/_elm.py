"""Elm with its tools, from npm."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, refuse, version_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "elm"
_PACKAGES = "curl ca-certificates git"


@record(eq=False)
class ElmProject(Project):
    """A machine with Elm and the packages of the project at `path`."""

    path: str
    main: str | None
    installed: Step
    tag = _TAG

    def build(self, *, output: str = "/dev/null", **options: Unpack[StepOptions]) -> Step:
        """`elm make --optimize` into `output`; of a package, `elm make`."""
        if self.main is None:
            return self._action("build", "elm make", options)
        return self._action("build", f"elm make {quote(self.main)} --optimize --output={quote(output)}", options)

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`elm-test`"""
        return self._action("test", "elm-test", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._action("fmt", "elm-format --validate src", options)

    def review(self, **options: Unpack[StepOptions]) -> Step:
        """`elm-review`, with the rules of the project."""
        return self._action("review", "elm-review", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.test(), self.fmt())


class ElmEntry:
    """`hm.elm(path=...)` and the bare form `hm.elm.test(path=...)`.

    >>> import harmont as hm
    >>> hm.elm(path="web").build(output="app.js").cmd
    'cd web && elm make src/Main.elm --optimize --output=app.js'
    """

    build = BareAction()
    test = BareAction()
    fmt = BareAction()
    review = BareAction()

    def __call__(
        self,
        *,
        path: str = ".",
        main: str | None = "src/Main.elm",
        version: str = "0.19.1-6",
        node_version: str = "22",
        image: str | None = None,
        base: Step | None = None,
    ) -> ElmProject:
        """Installs Node, Elm, elm-test, elm-format and elm-review, and the packages of the project at `path`.

        `main` is the module that an application starts with; None is for a package.
        """
        number, _, revision = version.partition("-") if isinstance(version, str) else ("", "", "")
        if not version_number(number, parts=(3,)) or not version_number(revision or "0", parts=(1,)):
            raise refuse("elm", "version", version, 'use a version like "0.19.1-6"')
        if not version_number(node_version, parts=(1,)):
            raise refuse("elm", "node_version", node_version, 'use a number like "22"')
        if main is not None and (not isinstance(main, str) or not main):
            raise refuse("elm", "main", main, "name the module's file, or None for a package")
        node = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "node-install",
            f"curl -fsSL https://deb.nodesource.com/setup_{node_version}.x | bash - && apt-get install -y nodejs",
        )
        installed = install(
            node,
            _TAG,
            "install",
            # npm has the compiler for x86_64 only; the distribution has it for other machines, in its own version.
            f"if [ $(uname -m) = x86_64 ]; then npm install --global elm@{version}; else apt-get install -y elm-compiler; fi"
            " && npm install --global elm-test elm-format elm-review && elm --version",
        )
        # Elm has no command that only fetches packages.
        fetch = "elm make" if main is None else f"elm make {quote(main)} --output=/dev/null"
        deps = dependencies(installed, _TAG, "deps", path, fetch, ("elm.json",))
        return ElmProject(path=path, main=main, installed=deps)


elm = ElmEntry()
