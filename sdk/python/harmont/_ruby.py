"""Ruby from its sources, with bundler."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import (
    BareAction,
    Project,
    base_step,
    command_line,
    dependencies,
    install,
    refuse,
    version_number,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "ruby"
_PACKAGES = (
    "build-essential curl ca-certificates git libffi-dev libgmp-dev libssl-dev libyaml-dev pkg-config zlib1g-dev"
)
_RUBY_BUILD = "https://github.com/rbenv/ruby-build/archive/refs/heads/master.tar.gz"


@record(eq=False)
class RubyProject(Project):
    """A machine with Ruby and the gems of the project at `path`."""

    path: str
    installed: Step
    tag = _TAG

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`bundle exec rspec`"""
        return self._action("test", "bundle exec rspec", options)

    def lint(self, **options: Unpack[StepOptions]) -> Step:
        """`bundle exec rubocop`"""
        return self._action("lint", "bundle exec rubocop", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted: the layout cops of rubocop."""
        return self._action("fmt", "bundle exec rubocop --only Layout", options)

    def run(self, cmd: str, **options: Unpack[StepOptions]) -> Step:
        """`bundle exec CMD`, where `cmd` is a command line of its own: `project.run("rake build")`."""
        line = command_line(cmd, "ruby")
        return self._action(line.split()[0], f"bundle exec {line}", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.test(), self.lint())


class RubyEntry:
    """`hm.ruby(path=...)` and the bare form `hm.ruby.test(path=...)`.

    >>> import harmont as hm
    >>> hm.ruby(path="shop").test().cmd
    'cd shop && bundle exec rspec'
    """

    test = BareAction()
    lint = BareAction()
    fmt = BareAction()
    run = BareAction()

    def __call__(
        self, *, path: str = ".", version: str = "3.3.6", image: str | None = None, base: Step | None = None
    ) -> RubyProject:
        """Builds Ruby `version` and installs the gems of the project at `path`."""
        if not version_number(version, parts=(3,)):
            raise refuse("ruby", "version", version, 'use a version like "3.3.6"')
        installed = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "install",
            f"mkdir -p /tmp/ruby-build && curl -fsSL {_RUBY_BUILD} | tar -xz -C /tmp/ruby-build --strip-components=1"
            f" && /tmp/ruby-build/bin/ruby-build {version} /usr/local && ruby --version && bundle --version",
        )
        watched = ("Gemfile.lock", "Gemfile", "*.gemspec")
        deps = dependencies(installed, _TAG, "bundle-install", path, "bundle install --jobs $(nproc)", watched)
        return RubyProject(path=path, installed=deps)


ruby = RubyEntry()
