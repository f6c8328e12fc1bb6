//! Snapshots: immutable stacks of layers.

mod content;
mod error;
mod flatten;
mod node;
mod rows;
mod snapshots;

pub use error::SnapshotError;
pub use node::{NewSnapshot, SnapshotBase, SnapshotKind, Stack};
pub use snapshots::Snapshots;

pub(crate) use node::Nodes;
pub(crate) use rows::insert;
