//! What can go wrong with a snapshot.

use std::path::PathBuf;

use hm_plugin_protocol::SnapshotRef;
use thiserror::Error;

use crate::error::{FileError, IndexError};

/// A snapshot could not be made, read, hashed or removed.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// A file could not be made, read or removed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Neither this lease nor the index has it.
    #[error("there is no snapshot {}", .0.0)]
    Unknown(SnapshotRef),
    /// A layer has marks of overlay features (`redirect_dir`, `metacopy`) that machines are not mounted with.
    #[error("{} has the overlay mark {attribute}, which the store does not know", path.display())]
    ForeignMark {
        /// The file that has it.
        path: PathBuf,
        /// The extended attribute.
        attribute: String,
    },
    /// A layer has folders nested too deeply to be merged.
    #[error("{} is nested too deeply to be merged", path.display())]
    TooDeep {
        /// The folder.
        path: PathBuf,
    },
}

impl From<rusqlite::Error> for SnapshotError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}
