//! The launcher process.

mod host_mounts;
mod host_parts;
mod host_view;
mod ids;
mod private;
mod process;
mod serve;
mod start;

pub(crate) use host_parts::ViewPart;
pub use process::run_launcher_if_requested;
pub(crate) use process::{Context, MARKER};
