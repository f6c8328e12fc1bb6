# The commands of CONTRIBUTING.md.

test *args:
    scripts/test {{args}}

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

bench *args:
    benches/run {{args}}
