"""This repository's own pipeline: formatting, lints and a part of the tests, with the machine's tool chain.

The tool chain lies in the user's home, which `image="host"` hides; `.hm/config.toml` exposes it, read-only.
"""

import os

import harmont as hm

home = os.environ.get("HOME", "/root")
cargo_home = os.environ.get("CARGO_HOME", f"{home}/.cargo")
rustup_home = os.environ.get("RUSTUP_HOME", f"{home}/.rustup")

# Crates that build in seconds and need neither a kernel feature nor a file system of their own.
PURE = "-p hm-pipeline-ir -p hm-plugin-protocol -p hm-config"


@hm.pipeline(
    "ci",
    default_image="host",
    env={
        "PATH": f"{cargo_home}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "RUSTUP_HOME": rustup_home,
        "CARGO_HOME": "/var/cache/cargo",
        "CARGO_TARGET_DIR": "/var/cache/target",
        "CARGO_TERM_PROGRESS_WHEN": "never",
    },
)
def ci():
    # Crates that the machine has already downloaded are taken from there.
    sources = hm.sh(
        f"mkdir -p $CARGO_HOME && cp -a {cargo_home}/config.toml $CARGO_HOME 2>/dev/null; "
        f"cp -a {cargo_home}/registry $CARGO_HOME 2>/dev/null; cargo fetch --locked",
        label="fetch",
    )
    return [
        hm.sh("cargo fmt --all --check", label="format"),
        sources.fork().sh(f"cargo clippy --locked --all-targets {PURE} -- -D warnings", label="lint"),
        sources.fork().sh(f"cargo test --locked {PURE}", label="test"),
    ]
