"""OCaml from opam, built by dune."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, refuse, version_number, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "ocaml"
_PACKAGES = "build-essential bzip2 curl ca-certificates git m4 patch pkg-config rsync unzip"
_ENV = {"OPAMYES": "1", "OPAMROOTISOK": "1"}
_OPAM = "https://github.com/ocaml/opam/releases/download/2.3.0/opam-2.3.0-$(uname -m | sed 's/aarch64/arm64/')-linux"


@record(eq=False)
class OCamlProject(Project):
    """A machine with opam, dune and the dependencies of the project at `path`."""

    path: str
    installed: Step
    tag = _TAG
    _env = _ENV

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """`dune build`"""
        return self._dune("build", "build", options)

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`dune runtest`"""
        return self._dune("test", "runtest", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted; the project depends on ocamlformat."""
        return self._dune("fmt", "build @fmt", options)

    def doc(self, **options: Unpack[StepOptions]) -> Step:
        """`dune build @doc`; the project depends on odoc."""
        return self._dune("doc", "build @doc", options)

    def dune(self, target: str, **options: Unpack[StepOptions]) -> Step:
        """Any command of dune, with its arguments: `project.dune("exec bin/main.exe")`."""
        if not isinstance(target, str) or not target.split():
            raise ValueError(f"hm.ocaml: dune needs a command, got {target!r}")
        return self._dune(target.split()[0], " ".join(words((target,), "target")), options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.test())

    def _dune(self, name: str, command: str, options: StepOptions) -> Step:
        return self._action(name, f"opam exec -- dune {command}", options)


class OCamlEntry:
    """`hm.ocaml(path=...)` and the bare form `hm.ocaml.test(path=...)`.

    >>> import harmont as hm
    >>> hm.ocaml(path="lib").test().cmd
    'cd lib && opam exec -- dune runtest'
    """

    build = BareAction()
    test = BareAction()
    fmt = BareAction()
    doc = BareAction()
    dune = BareAction()

    def __call__(
        self, *, path: str = ".", version: str = "5.2.1", image: str | None = None, base: Step | None = None
    ) -> OCamlProject:
        """Installs opam, OCaml `version` and dune, and the dependencies of the project at `path`."""
        if not version_number(version, parts=(3,)):
            raise refuse("ocaml", "version", version, 'use a version like "5.2.1"')
        installed = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "opam-install",
            f"curl -fsSL {_OPAM} -o /usr/local/bin/opam && chmod +x /usr/local/bin/opam"
            f" && opam init --bare --disable-sandboxing --no-setup && opam switch create default {version}"
            " && opam install dune && opam exec -- ocaml -version",
            env=_ENV,
        )
        watched = ("*.opam.locked", "*.opam", "dune-project")
        deps = dependencies(installed, _TAG, "deps", path, "opam install . --deps-only --with-test", watched, _ENV)
        return OCamlProject(path=path, installed=deps)


ocaml = OCamlEntry()
