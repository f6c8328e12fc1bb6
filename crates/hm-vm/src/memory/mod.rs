//! Machines in memory: real file semantics, snapshots that share what didn't change, and a small shell.
//!
//! For tests and for measuring what the engine itself costs. Not known: hard links, special files, permission checks
//! other than the execute bit of scripts.

mod backend;
mod content;
mod delta;
mod fs;
mod image;
mod machine;
mod node;
mod shell;

pub use backend::MemoryBackend;
pub(crate) use delta::conflict_note;
pub use image::MemoryImage;
