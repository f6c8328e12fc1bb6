"""A Rust workspace and a toolchain with options."""

import harmont as hm


@hm.pipeline("project")
def project():
    return hm.rust.project()


@hm.pipeline("ci")
def ci():
    rust = hm.rust.project(path="core", image="debian:12", version="1.81.0")
    return [*rust.ci(nextest=True, doc=True), rust.feature_powerset()]


@hm.pipeline("options")
def options():
    rust = hm.rust.toolchain(base=hm.apt_base(packages=("curl", "gcc")))
    return [
        rust.build(packages=("a", "b"), features=("x", "y"), no_default_features=True, release=True, label="release"),
        rust.build(workspace=True, exclude=("c",), target="wasm32-wasip1", profile="dist", label="dist"),
        rust.clippy(extra_lints=("-W clippy::pedantic",), deny_warnings=False),
        rust.feature_powerset(subcommand="test", depth=3, skip=("a", "b"), no_dev_deps=False, flags=("--locked",)),
        rust.doc(document_private_items=True, no_deps=False, env={"A": "1"}),
        rust.fmt(all=False),
    ]


@hm.pipeline("toolchain")
def toolchain():
    return hm.rust.toolchain()
