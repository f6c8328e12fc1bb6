"""The options that cargo's subcommands share, as words of a command line."""

from __future__ import annotations

from harmont._shell import quote
from harmont._toolchain import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from harmont._toolchain import StepOptions

    class SelectionOptions(StepOptions, total=False):
        """Which packages and features, for which target."""

        workspace: bool
        packages: Sequence[str]
        exclude: Sequence[str]
        all_features: bool
        no_default_features: bool
        features: Sequence[str]
        target: str | None
        add_target: bool
        locked: bool
        flags: Sequence[str]

    class TargetsOptions(SelectionOptions, total=False):
        """As above, for what compiles examples and tests too."""

        all_targets: bool

    class CompileOptions(TargetsOptions, total=False):
        """As above, for what has a profile."""

        release: bool
        profile: str | None


SELECTION = {
    "workspace": False,
    "packages": (),
    "exclude": (),
    "all_features": False,
    "no_default_features": False,
    "features": (),
    "target": None,
    "add_target": True,
    "locked": True,
    "flags": (),
}
TARGETS = {**SELECTION, "all_targets": False}
COMPILE = {**TARGETS, "release": False, "profile": None}


def take(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Removes the options of cargo from those of the step."""
    return {name: options.pop(name, default) for name, default in defaults.items()}


def arguments(chosen: dict[str, Any]) -> list[str]:
    """The words for `chosen`, in one order whatever the subcommand."""
    return [
        *_packages(chosen),
        *(["--all-targets"] if chosen.get("all_targets") else []),
        *_features(chosen),
        *(["--target", quote(chosen["target"])] if chosen["target"] else []),
        *_profile(chosen),
        *(["--locked"] if chosen["locked"] else []),
        *words(chosen["flags"], "flags"),
    ]


def target_prefix(chosen: dict[str, Any]) -> str:
    """The command that adds the target's standard library."""
    if chosen["target"] and chosen["add_target"]:
        return f"rustup target add {quote(chosen['target'])} && "
    return ""


def _packages(chosen: dict[str, Any]) -> list[str]:
    packages = words(chosen["packages"], "packages")
    exclude = words(chosen["exclude"], "exclude")
    if packages and exclude:
        raise ValueError(
            "hm.rust: packages= and exclude= exclude each other\n  fix: name the packages, or leave some out of the workspace"
        )
    if packages:
        return [word for package in packages for word in ("-p", package)]
    if exclude and not chosen["workspace"]:
        raise ValueError("hm.rust: exclude= leaves packages out of the workspace\n  fix: add workspace=True")
    if not chosen["workspace"]:
        return []
    return ["--workspace", *(word for package in exclude for word in ("--exclude", package))]


def _features(chosen: dict[str, Any]) -> list[str]:
    features = chosen["features"]
    if isinstance(features, str):
        raise TypeError(f"hm: features must be a list or tuple, not one str\n  fix: write features=({features!r},)")
    if chosen["all_features"]:
        if features or chosen["no_default_features"]:
            raise ValueError(
                "hm.rust: all_features= leaves nothing for features= and no_default_features=\n  fix: give either"
            )
        return ["--all-features"]
    named = ["--features", quote(",".join(features))] if features else []
    return [*(["--no-default-features"] if chosen["no_default_features"] else []), *named]


def _profile(chosen: dict[str, Any]) -> list[str]:
    profile = chosen.get("profile")
    if profile and chosen["release"]:
        raise ValueError(
            'hm.rust: release=True and profile= exclude each other\n  fix: profile="release" is release=True'
        )
    if profile:
        return ["--profile", quote(profile)]
    return ["--release"] if chosen.get("release") else []
