//! The launcher process.

mod host_view;
mod ids;
mod process;
mod serve;
mod start;

pub use process::run_launcher_if_requested;
pub(crate) use process::{Context, MARKER};
