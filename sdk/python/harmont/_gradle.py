"""Java and Kotlin with Gradle, on a JDK of Adoptium."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, Project, base_step, dependencies, install, refuse, version_number, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from harmont._toolchain import StepOptions

_PACKAGES = "curl ca-certificates git unzip"
_JDK = "https://api.adoptium.net/v3/binary/latest"
_MACHINE = "$(uname -m | sed 's/x86_64/x64/')"
_GRADLE = "https://services.gradle.org/distributions"
_WATCHED = (
    "**/gradle.lockfile",
    "**/*.gradle",
    "**/*.gradle.kts",
    "**/gradle.properties",
    "gradle/libs.versions.toml",
    "gradle/wrapper/gradle-wrapper.properties",
)


@record(eq=False)
class GradleProject(Project):
    """A machine with a JDK, Gradle and the dependencies of the project at `path`."""

    path: str
    program: str
    installed: Step
    tag: str

    def build(self, **options: Unpack[StepOptions]) -> Step:
        """The task `assemble`: everything is compiled and packed, nothing is tested."""
        return self.task("assemble", **{"label": f":{self.tag}: build", **options})

    def test(self, **options: Unpack[StepOptions]) -> Step:
        """The task `test`."""
        return self.task("test", **options)

    def check(self, **options: Unpack[StepOptions]) -> Step:
        """The task `check`: the tests and what else the project verifies."""
        return self.task("check", **options)

    def task(self, task: str, **options: Unpack[StepOptions]) -> Step:
        """Any task, with its arguments: `project.task(":app:lint --info")`."""
        if not isinstance(task, str) or not task.split():
            raise ValueError(f"hm.{self.tag}: task needs a name, got {task!r}")
        name = task.split()[0].strip(":").replace(":", " ")
        return self._action(name, " ".join([self.program, *words((task,), "task")]), options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.build(), self.check())


class GradleEntry:
    """`hm.gradle(path=...)`, or `hm.java` and `hm.kotlin`, and the bare form `hm.gradle.test(path=...)`.

    >>> import harmont as hm
    >>> hm.java(path="app").test().cmd
    'cd app && ./gradlew --no-daemon test'
    >>> hm.kotlin(version="8.11.1").check().label
    ':kotlin: check'
    """

    build = BareAction()
    test = BareAction()
    check = BareAction()
    task = BareAction()

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def __call__(
        self,
        *,
        path: str = ".",
        version: str | None = None,
        java_version: str = "21",
        image: str | None = None,
        base: Step | None = None,
    ) -> GradleProject:
        """Installs a JDK and resolves the dependencies of the project at `path`.

        `version` is a Gradle to install; without it the project's own `gradlew` runs.
        """
        tag = self._tag
        if not version_number(java_version, parts=(1,)):
            raise refuse(tag, "java_version", java_version, 'use a number like "21"')
        if version is not None and not version_number(version, parts=(2, 3)):
            raise refuse(tag, "version", version, 'use a version like "8.11.1", or leave it out for gradlew')
        installed = install(
            base_step(tag, _PACKAGES, image, base),
            tag,
            "jdk-install",
            f"curl -fsSL {_JDK}/{java_version}/ga/linux/{_MACHINE}/jdk/hotspot/normal/eclipse -o /tmp/jdk.tgz"
            " && rm -rf /usr/local/jdk && mkdir -p /usr/local/jdk && tar -C /usr/local/jdk -xzf /tmp/jdk.tgz --strip-components=1"
            " && ln -sf /usr/local/jdk/bin/* /usr/local/bin/ && java -version",
        )
        if version is not None:
            installed = install(
                installed,
                tag,
                "gradle-install",
                f"curl -fsSL {_GRADLE}/gradle-{version}-bin.zip -o /tmp/gradle.zip && unzip -q -o /tmp/gradle.zip -d /usr/local"
                f" && ln -sf /usr/local/gradle-{version}/bin/gradle /usr/local/bin/gradle && gradle --version",
            )
        program = f"{'./gradlew' if version is None else 'gradle'} --no-daemon"
        deps = dependencies(installed, tag, "deps", path, f"{program} dependencies", _WATCHED)
        return GradleProject(path=path, program=program, installed=deps, tag=tag)


gradle = GradleEntry("gradle")
java = GradleEntry("java")
kotlin = GradleEntry("kotlin")
