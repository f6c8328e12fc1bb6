"""Perl of the distribution, with cpanm."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "perl"
_PACKAGES = "build-essential curl ca-certificates libperl-critic-perl libssl-dev perl zlib1g-dev"


@record(eq=False)
class PerlProject(Project):
    """A machine with cpanm and the dependencies of the project at `path`."""

    path: str
    installed: Step
    tag = _TAG

    def test(self, *, flags: Iterable[str] = (), **options: Unpack[StepOptions]) -> Step:
        """`prove -lr t`, with more `flags` before the folder."""
        return self._action("test", " ".join(["prove", "-lr", *words(flags, "flags"), "t"]), options)

    def lint(self, **options: Unpack[StepOptions]) -> Step:
        """`perlcritic .`"""
        return self._action("lint", "perlcritic .", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.test(),)


class PerlEntry:
    """`hm.perl(path=...)` and the bare form `hm.perl.test(path=...)`.

    >>> import harmont as hm
    >>> hm.perl(path="app").test(flags=("-j 4",)).cmd
    'cd app && prove -lr -j 4 t'
    """

    test = BareAction()
    lint = BareAction()

    def __call__(self, *, path: str = ".", image: str | None = None, base: Step | None = None) -> PerlProject:
        """Installs cpanm and the dependencies of the project at `path`; the image chooses the version of Perl."""
        installed = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "cpanm-install",
            "curl -fsSL https://cpanmin.us | perl - App::cpanminus && cpanm --version",
        )
        watched = ("cpanfile.snapshot", "cpanfile", "Makefile.PL", "Build.PL")
        deps = dependencies(installed, _TAG, "deps", path, "cpanm --notest --installdeps .", watched)
        return PerlProject(path=path, installed=deps)


perl = PerlEntry()
