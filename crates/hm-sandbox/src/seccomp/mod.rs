//! The system calls that a step may not make. Why each: `docs/design/seccomp.md`.

mod filter;
mod profile;

pub(crate) use filter::Filters;
