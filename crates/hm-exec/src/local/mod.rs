//! Builds on this machine.

mod backend;
mod images;
mod journal_log;
mod vm_runner;

pub use backend::{LocalBackend, LocalSettings};
pub use vm_runner::VmRunner;
