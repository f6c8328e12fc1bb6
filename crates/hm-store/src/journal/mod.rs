//! The journal of a build: every event and every byte of output, on disk before anyone sees it.

mod builds;
mod durations;
mod error;
mod frame;
mod lines;
mod open_logs;
mod reader;
mod record;
mod replay;
mod step_log;
mod tail;
mod wake;
mod writer;

pub use builds::{BuildMeta, BuildRecord, Builds};
pub use error::JournalError;
pub use reader::JournalReader;
pub use writer::Journal;
