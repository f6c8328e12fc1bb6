//! The system calls that a step may not make. Why each: `docs/design/seccomp.md`.

mod filter;
mod profile;
mod program;

pub(crate) use filter::Filter;
