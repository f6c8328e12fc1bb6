//! Workspaces: the captured working tree that goes into every machine of a build.

mod capture;
mod diff;
mod earlier;
mod error;
mod ignore_rules;
mod manifest;
mod manifest_file;
mod read;
mod select;
mod shelf;
#[cfg(test)]
mod tests;
mod walk;

pub use capture::{CaptureRequest, WORKSPACE_FOLDER, Workspace};
pub use diff::DeltaOp;
pub use error::CaptureError;
pub use manifest::{Entry, EntryKind, FileHash, Manifest, path_order};
pub use manifest_file::ManifestFormatError;
pub use select::{OnChange, PatternError, hash_paths};
pub(crate) use shelf::release_workspaces;
