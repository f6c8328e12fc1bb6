//! Builds on this machine.

mod backend;
mod images;
mod journal_log;
mod pull_events;
mod step_keys;
mod vm_runner;

pub use backend::{LocalBackend, LocalSettings};
pub use pull_events::PullEvents;
pub use step_keys::{KnownKey, StepKeys};
pub use vm_runner::VmRunner;

pub(crate) use pull_events::PullListener;
