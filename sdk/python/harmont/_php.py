"""PHP of the distribution, with composer."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
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
    words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from harmont._toolchain import StepOptions

_TAG = "php"
_ENV = {"COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_NO_INTERACTION": "1"}
_EXTENSIONS = ("cli", "curl", "mbstring", "xml", "zip")


@record(eq=False)
class PhpProject(Project):
    """A machine with composer and the packages of the project at `path`."""

    path: str
    installed: Step
    tag = _TAG
    _env = _ENV

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """`vendor/bin/phpunit`"""
        return self._action("test", "vendor/bin/phpunit", options)

    def lint(self, **options: Unpack[StepOptions]) -> Step:
        """`vendor/bin/phpstan analyse`; the project depends on phpstan."""
        return self._action("lint", "vendor/bin/phpstan analyse --no-progress", options)

    def fmt(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted; the project depends on php-cs-fixer."""
        return self._action("fmt", "vendor/bin/php-cs-fixer fix --dry-run --diff", options)

    def validate(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when composer.json is wrong or composer.lock does not belong to it."""
        return self._action("validate", "composer validate --strict", options)

    def audit(self, **options: Unpack[StepOptions]) -> Step:
        """`composer audit`"""
        return self._action("audit", "composer audit", options)

    def run(self, cmd: str, **options: Unpack[StepOptions]) -> Step:
        """`composer exec` for a command line of its own: `project.run("psalm --no-cache")`."""
        line = command_line(cmd, "php")
        return self._action(line.split()[0], f"composer exec -- {line}", options)

    def script(self, name: str, **options: Unpack[StepOptions]) -> Step:
        """`composer run-script NAME`"""
        if not isinstance(name, str) or not name:
            raise ValueError(f"hm.php: script needs a name, got {name!r}")
        return self._action(name, f"composer run-script {quote(name)}", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.test(),)


class PhpEntry:
    """`hm.php(path=...)` and the bare form `hm.php.test(path=...)`.

    >>> import harmont as hm
    >>> hm.php(path="site").test().cmd
    'cd site && vendor/bin/phpunit'
    """

    test = BareAction()
    lint = BareAction()
    fmt = BareAction()
    validate = BareAction()
    audit = BareAction()
    run = BareAction()
    script = BareAction()

    def __call__(
        self,
        *,
        path: str = ".",
        version: str | None = None,
        extensions: Iterable[str] = (),
        image: str | None = None,
        base: Step | None = None,
    ) -> PhpProject:
        """Installs PHP, composer and the packages of the project at `path`.

        `version` is one that the image's distribution has; `extensions` are more of its packages: `("intl", "pgsql")`.
        """
        if version is not None and not version_number(version, parts=(2,)):
            raise refuse("php", "version", version, 'use a version like "8.3", or leave it out')
        php = f"php{version or ''}"
        chosen = " ".join(f"{php}-{name}" for name in (*_EXTENSIONS, *words(extensions, "extensions")))
        installed = install(
            base_step(_TAG, f"curl ca-certificates git unzip {chosen}", image, base),
            _TAG,
            "composer-install",
            "curl -fsSL https://getcomposer.org/installer -o /tmp/composer-setup.php"
            " && php /tmp/composer-setup.php --install-dir=/usr/local/bin --filename=composer && composer --version",
            env=_ENV,
        )
        fetch = "composer install --no-progress --prefer-dist"
        deps = dependencies(installed, _TAG, "deps", path, fetch, ("composer.lock", "composer.json"), _ENV)
        return PhpProject(path=path, installed=deps)


php = PhpEntry()
