"""Rust through rustup."""

from __future__ import annotations

from harmont import _cargo
from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import action, base_step, install, refuse, within, words
from harmont.cache import on_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Unpack

    from harmont._cargo import CompileOptions, SelectionOptions, TargetsOptions
    from harmont._toolchain import StepOptions
    from harmont.cache import CachePolicy

_TAG = "rust"
_ENV = ". $HOME/.cargo/env && "
_WARMUP = "cargo build --workspace --tests --locked"


@record(eq=False)
class RustToolchain:
    """A machine with Rust and a crate or workspace at `path`. Actions work on the default members."""

    path: str
    installed: Step

    def build(self, **options: Unpack[CompileOptions]) -> Step:
        """`cargo build`"""
        return _build(self, self.installed, options)

    def test(self, *, nextest: bool = False, **options: Unpack[CompileOptions]) -> Step:
        """`cargo test`, or `cargo nextest run`."""
        return _test(self, self.installed, nextest, options)

    def doctest(self, **options: Unpack[SelectionOptions]) -> Step:
        """`cargo test --doc`"""
        return _doctest(self, self.installed, options)

    def clippy(
        self, *, deny_warnings: bool = True, extra_lints: Sequence[str] = (), **options: Unpack[TargetsOptions]
    ) -> Step:
        """`cargo clippy` that fails on warnings."""
        return _clippy(self, self.installed, deny_warnings, extra_lints, options)

    def doc(
        self,
        *,
        no_deps: bool = True,
        document_private_items: bool = False,
        deny_warnings: bool = True,
        **options: Unpack[SelectionOptions],
    ) -> Step:
        """`cargo doc` that fails on warnings."""
        return _doc(self, self.installed, no_deps, document_private_items, deny_warnings, options)

    def fmt(
        self, *, all: bool = True, check: bool = True, flags: Sequence[str] = (), **options: Unpack[StepOptions]
    ) -> Step:
        """`cargo fmt --check`"""
        command = ["cargo fmt", *(["--all"] if all else []), *(["--check"] if check else []), *words(flags, "flags")]
        return _action(self, self.installed, "fmt", " ".join(command), options)

    def warmup(self, **options: Unpack[StepOptions]) -> Step:
        """Compiles the workspace with its tests, for actions to start from."""
        return _action(self, self.installed, "warmup", _WARMUP, options)

    def feature_powerset(
        self,
        *,
        subcommand: str = "check",
        depth: int = 2,
        each_feature: bool = False,
        no_dev_deps: bool = True,
        skip: Sequence[str] = (),
        include_features: Sequence[str] = (),
        keep_going: bool = False,
        flags: Sequence[str] = (),
        **options: Unpack[StepOptions],
    ) -> Step:
        """`cargo hack`: every combination of up to `depth` features, or each alone."""
        hack = install(self.installed, _TAG, "install cargo-hack", f"{_ENV}cargo install cargo-hack --locked")
        command = ["cargo hack", *words((subcommand,), "subcommand")]
        command += ["--each-feature"] if each_feature else ["--feature-powerset", "--depth", str(int(depth))]
        command += ["--no-dev-deps"] if no_dev_deps else []
        command += ["--skip", quote(",".join(skip))] if skip else []
        command += ["--include-features", quote(",".join(include_features))] if include_features else []
        command += ["--keep-going"] if keep_going else []
        command += words(flags, "flags")
        return _action(self, hack, "feature-powerset", " ".join(command), options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the toolchain stands for as a leaf."""
        return (self.build(),)


@record(eq=False)
class RustProject:
    """A workspace compiled once. Actions start from there and work on all its packages."""

    toolchain: RustToolchain
    warmup: Step

    def build(self, **options: Unpack[CompileOptions]) -> Step:
        """`cargo build --workspace`"""
        return _build(self.toolchain, self.warmup, _whole(options))

    def test(self, *, nextest: bool = False, **options: Unpack[CompileOptions]) -> Step:
        """`cargo test --workspace`, or `cargo nextest run --workspace`."""
        return _test(self.toolchain, self.warmup, nextest, _whole(options))

    def doctest(self, **options: Unpack[SelectionOptions]) -> Step:
        """`cargo test --workspace --doc`"""
        return _doctest(self.toolchain, self.warmup, _whole(options))

    def clippy(
        self, *, deny_warnings: bool = True, extra_lints: Sequence[str] = (), **options: Unpack[TargetsOptions]
    ) -> Step:
        """`cargo clippy --workspace` that fails on warnings."""
        return _clippy(self.toolchain, self.warmup, deny_warnings, extra_lints, _whole(options))

    def doc(
        self,
        *,
        no_deps: bool = True,
        document_private_items: bool = False,
        deny_warnings: bool = True,
        **options: Unpack[SelectionOptions],
    ) -> Step:
        """`cargo doc --workspace` that fails on warnings."""
        return _doc(self.toolchain, self.warmup, no_deps, document_private_items, deny_warnings, _whole(options))

    def fmt(
        self, *, all: bool = True, check: bool = True, flags: Sequence[str] = (), **options: Unpack[StepOptions]
    ) -> Step:
        """`cargo fmt --check`, which needs nothing compiled."""
        return self.toolchain.fmt(all=all, check=check, flags=flags, **options)

    def feature_powerset(self, **options: Any) -> Step:
        """As of the toolchain."""
        return self.toolchain.feature_powerset(**options)

    def ci(self, *, nextest: bool = False, doc: bool = False) -> tuple[Step, ...]:
        """Tests, clippy and formatting; with `nextest` the doctests apart, with `doc` the documentation too."""
        tests = (self.test(nextest=True), self.doctest()) if nextest else (self.test(),)
        return (*tests, self.clippy(), self.fmt(), *((self.doc(),) if doc else ()))

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return self.ci()


def _action(toolchain: RustToolchain, parent: Step, name: str, cmd: str, options: Any) -> Step:
    return action(parent, _TAG, name, _ENV + within(toolchain.path, cmd), options)


def _whole(options: Any) -> Any:
    return {"workspace": True, **options}


def _build(toolchain: RustToolchain, parent: Step, options: Any) -> Step:
    chosen = _cargo.take(options, _cargo.COMPILE)
    command = " ".join(["cargo build", *_cargo.arguments(chosen)])
    return _action(toolchain, parent, "build", _cargo.target_prefix(chosen) + command, options)


def _test(toolchain: RustToolchain, parent: Step, nextest: bool, options: Any) -> Step:
    chosen = _cargo.take(options, _cargo.COMPILE)
    command = " ".join(["cargo nextest run" if nextest else "cargo test", *_cargo.arguments(chosen)])
    return _action(toolchain, parent, "test", _cargo.target_prefix(chosen) + command, options)


def _doctest(toolchain: RustToolchain, parent: Step, options: Any) -> Step:
    chosen = _cargo.take(options, _cargo.SELECTION)
    command = " ".join(["cargo test", *_cargo.arguments(chosen), "--doc"])
    return _action(toolchain, parent, "doctest", _cargo.target_prefix(chosen) + command, options)


def _clippy(
    toolchain: RustToolchain, parent: Step, deny_warnings: bool, extra_lints: Sequence[str], options: Any
) -> Step:
    chosen = _cargo.take(options, {**_cargo.TARGETS, "all_targets": True})
    lints = [*(["-D", "warnings"] if deny_warnings else []), *words(extra_lints, "extra_lints")]
    command = " ".join(["cargo clippy", *_cargo.arguments(chosen), *(["--", *lints] if lints else [])])
    return _action(toolchain, parent, "clippy", _cargo.target_prefix(chosen) + command, options)


def _doc(
    toolchain: RustToolchain,
    parent: Step,
    no_deps: bool,
    document_private_items: bool,
    deny_warnings: bool,
    options: Any,
) -> Step:
    chosen = _cargo.take(options, _cargo.SELECTION)
    own = [
        *(["--no-deps"] if no_deps else []),
        *(["--document-private-items"] if document_private_items else []),
    ]
    command = " ".join(["cargo doc", *own, *_cargo.arguments(chosen)])
    if deny_warnings:
        options["env"] = {"RUSTDOCFLAGS": "-D warnings", **(options.get("env") or {})}
    return _action(toolchain, parent, "doc", _cargo.target_prefix(chosen) + command, options)


class RustEntry:
    """`hm.rust.project(...)` and `hm.rust.toolchain(...)`.

    >>> import harmont as hm
    >>> hm.rust.toolchain(path="core").build(release=True).cmd
    '. $HOME/.cargo/env && cd core && cargo build --release --locked'
    """

    def toolchain(
        self,
        *,
        path: str = ".",
        version: str = "stable",
        image: str | None = None,
        components: Sequence[str] = ("clippy", "rustfmt"),
        base: Step | None = None,
    ) -> RustToolchain:
        """Installs Rust `version` with `components`."""
        if (
            not isinstance(version, str)
            or not version.replace(".", "").replace("-", "").isalnum()
            or not _channel(version)
        ):
            raise refuse("rust", "version", version, 'use a channel such as "stable" or a version such as "1.81.0"')
        names = words(components, "components")
        with_components = f" --component {','.join(names)}" if names else ""
        installed = install(
            base_step(_TAG, "curl ca-certificates build-essential pkg-config libssl-dev", image, base),
            _TAG,
            "rustup",
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
            f" --default-toolchain {quote(version)} --profile minimal{with_components}"
            f" && {_ENV}rustc --version && cargo --version",
        )
        return RustToolchain(path=path, installed=installed)

    def project(
        self,
        *,
        path: str = ".",
        version: str = "stable",
        image: str | None = None,
        components: Sequence[str] = ("clippy", "rustfmt"),
        base: Step | None = None,
        cache: CachePolicy | None = None,
    ) -> RustProject:
        """Installs Rust and compiles the workspace once, until a source of it changes."""
        toolchain = self.toolchain(path=path, version=version, image=image, components=components, base=base)
        prefix = "" if path == "." else path.rstrip("/") + "/"
        sources = on_change(f"{prefix}Cargo.lock", f"{prefix}**/Cargo.toml", f"{prefix}**/*.rs")
        return RustProject(toolchain=toolchain, warmup=toolchain.warmup(cache=sources if cache is None else cache))


def _channel(version: str) -> bool:
    """A channel with an optional date, or a version number."""
    name, _, date = version.partition("-")
    if name[:1].isdigit():
        return not date and all(part.isdigit() for part in name.split("."))
    return name.isalpha() and (not date or all(part.isdigit() for part in date.split("-")))


rust = RustEntry()
