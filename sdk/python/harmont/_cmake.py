"""C and C++ projects with CMake."""

from __future__ import annotations

from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import BareAction, action, base_step, install, refuse, within
from harmont.cache import on_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Unpack, overload

    from harmont._toolchain import StepOptions
    from harmont.cache import CachePolicy

_TAG = "cmake"
_JOBS = "--parallel $(nproc)"
_SOURCES = " -o ".join(f"-name '*.{suffix}'" for suffix in ("c", "h", "cpp", "hpp", "cc", "cxx"))
_VCPKG = "git clone https://github.com/microsoft/vcpkg.git /opt/vcpkg && /opt/vcpkg/bootstrap-vcpkg.sh"


@record(eq=False)
class CMakeToolchain:
    """A machine with CMake, a generator and compilers."""

    installed: Step
    compiler: str | None
    ccache: bool
    generator: str

    def project(
        self,
        *,
        path: str = ".",
        preset: str | None = None,
        defines: Mapping[str, str | int] | None = None,
        deps: str | None = None,
        target: str | None = None,
        cache: CachePolicy | None = None,
    ) -> CMakeProject:
        """Configures and builds the project at `path`; what follows starts from there."""
        if deps not in (None, "vcpkg"):
            raise refuse("cmake", "deps", deps, 'use "vcpkg", or leave it out')
        prefix = "" if path == "." else path.rstrip("/") + "/"
        inputs = on_change(f"{prefix}{'vcpkg.json' if deps else 'CMakeLists.txt'}")
        step = self.installed
        if deps is not None:
            command = f"{_VCPKG} && {within(path, '/opt/vcpkg/vcpkg install')}"
            step = step.sh(command, label=f":{_TAG}: vcpkg", cache=inputs)
        build = f"{_JOBS} --target {quote(target)}" if target else _JOBS
        built = step.sh(
            within(path, f"{self._configure(preset, defines)} && cmake --build build {build}"),
            label=f":{_TAG}: build",
            cache=inputs if cache is None else cache,
        )
        return CMakeProject(toolchain=self, built=built, path=path, build_options=build)

    def default_actions(self) -> tuple[Step, ...]:
        """What the toolchain stands for as a leaf."""
        return self.project().default_actions()

    def _configure(self, preset: str | None, defines: Mapping[str, str | int] | None) -> str:
        if preset is not None:
            words = ["cmake", "--preset", quote(preset)]
        else:
            generator = "Ninja" if self.generator == "ninja" else "Unix Makefiles"
            words = ["cmake", "-S", ".", "-B", "build", "-G", quote(generator), "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
            if self.ccache:
                words += [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")]
            if self.compiler is not None:
                c, cxx = _programs(self.compiler)
                words += [f"-DCMAKE_C_COMPILER={c}", f"-DCMAKE_CXX_COMPILER={cxx}"]
        words += [quote(f"-D{name}={value}") for name, value in (defines or {}).items()]
        return " ".join(words)


@record(eq=False)
class CMakeProject:
    """A project that is built."""

    toolchain: CMakeToolchain
    built: Step
    path: str
    build_options: str

    def build(self) -> Step:
        """The step that builds."""
        return self.built

    def test(self, *, parallel: bool = True, **options: Unpack[StepOptions]) -> Step:
        """Brings the build up to date and runs `ctest`."""
        folder = self._build_folder()
        jobs = f" {_JOBS}" if parallel else ""
        command = f"cmake --build {folder} {self.build_options} && ctest --test-dir {folder} --output-on-failure{jobs}"
        return action(self.built, _TAG, "test", command, options)

    def install(self, *, prefix: str | None = None, **options: Unpack[StepOptions]) -> Step:
        """`cmake --install`, below `prefix` if given."""
        below = f" --prefix {quote(prefix)}" if prefix else ""
        return action(self.built, _TAG, "install", f"cmake --install {self._build_folder()}{below}", options)

    def fmt(self, *, fix: bool = False, **options: Unpack[StepOptions]) -> Step:
        """`clang-format` of all sources, which needs nothing built."""
        mode = "-i" if fix else "--dry-run --Werror"
        command = f"find . -not -path './build/*' \\( {_SOURCES} \\) | xargs clang-format {mode}"
        return action(self.toolchain.installed, _TAG, "fmt", within(self.path, command), options)

    def lint(self, **options: Unpack[StepOptions]) -> Step:
        """`run-clang-tidy`"""
        return action(self.built, _TAG, "lint", within(self.path, "run-clang-tidy -p build"), options)

    def package(self, *, generator: str | None = None, **options: Unpack[StepOptions]) -> Step:
        """`cpack`, with a generator of its own if given."""
        kind = f" -G {quote(generator)}" if generator else ""
        return action(self.built, _TAG, "package", f"cd {self._build_folder()} && cpack{kind}", options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.test(),)

    def _build_folder(self) -> str:
        return quote(f"{self.path.rstrip('/')}/build")


def _programs(compiler: str) -> tuple[str, str]:
    """The C and the C++ program of `gcc`, `gcc-13`, `clang` or `clang-18`."""
    name, dash, number = compiler.partition("-")
    if name not in ("gcc", "clang") or bool(dash) != number.isdigit():
        raise refuse("cmake", "compiler", compiler, 'use "gcc", "gcc-13", "clang" or "clang-18"')
    return compiler, ("g++" if name == "gcc" else "clang++") + dash + number


def _packages(compiler: str | None, ccache: bool, generator: str) -> str:
    names = ["cmake", "build-essential", "pkg-config"]
    names += ["ninja-build"] if generator == "ninja" else []
    names += ["ccache"] if ccache else []
    names += ["clang-format", "clang-tidy"]
    if compiler is not None:
        c, cxx = _programs(compiler)
        names += [c, cxx] if c.startswith("gcc") else [c, c.replace("clang", "lld")]
    return " ".join(names)


class CMakeEntry:
    """`hm.cmake(path=...)` is a project, `hm.cmake()` a toolchain, `hm.cmake.test(path=...)` the bare form.

    >>> import harmont as hm
    >>> hm.cmake(path="lib").test(parallel=False).cmd
    'cmake --build lib/build --parallel $(nproc) && ctest --test-dir lib/build --output-on-failure'
    """

    build = BareAction(path=".")
    test = BareAction(path=".")
    install = BareAction(path=".")
    fmt = BareAction(path=".")
    lint = BareAction(path=".")
    package = BareAction(path=".")

    if TYPE_CHECKING:

        @overload
        def __call__(
            self,
            *,
            compiler: str | None = None,
            ccache: bool = True,
            generator: str = "ninja",
            image: str | None = None,
            base: Step | None = None,
        ) -> CMakeToolchain: ...
        @overload
        def __call__(
            self,
            *,
            path: str,
            compiler: str | None = None,
            ccache: bool = True,
            generator: str = "ninja",
            preset: str | None = None,
            defines: Mapping[str, str | int] | None = None,
            deps: str | None = None,
            target: str | None = None,
            cache: CachePolicy | None = None,
            image: str | None = None,
            base: Step | None = None,
        ) -> CMakeProject: ...

    def __call__(
        self,
        *,
        path: str | None = None,
        compiler: str | None = None,
        ccache: bool = True,
        generator: str = "ninja",
        preset: str | None = None,
        defines: Mapping[str, str | int] | None = None,
        deps: str | None = None,
        target: str | None = None,
        cache: CachePolicy | None = None,
        image: str | None = None,
        base: Step | None = None,
    ) -> Any:
        """Installs CMake; with `path`, configures and builds the project there."""
        if generator not in ("ninja", "make"):
            raise refuse("cmake", "generator", generator, 'use "ninja" or "make"')
        checks = ["cmake --version"]
        checks += ["ninja --version"] if generator == "ninja" else []
        checks += ["ccache --version"] if ccache else []
        checks += [f"{_programs(compiler)[0]} --version"] if compiler is not None else []
        base = base_step(_TAG, _packages(compiler, ccache, generator), image, base)
        installed = install(base, _TAG, "verify", " && ".join(checks))
        toolchain = CMakeToolchain(installed=installed, compiler=compiler, ccache=ccache, generator=generator)
        if path is not None:
            return toolchain.project(path=path, preset=preset, defines=defines, deps=deps, target=target, cache=cache)
        if preset or defines or deps or target or cache:
            raise ValueError('hm.cmake: preset, defines, deps, target and cache are of a project\n  fix: add path="."')
        return toolchain


cmake = CMakeEntry()
