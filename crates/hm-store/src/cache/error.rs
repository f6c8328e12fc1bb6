//! What can go wrong with the cache.

use thiserror::Error;

use crate::error::{FileError, IndexError};
use crate::ids::CacheKey;
use crate::snapshot::SnapshotError;

/// An entry could not be read or made, or its key could not be locked.
#[derive(Debug, Error)]
pub enum CacheError {
    /// A file could not be made or locked.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The entry's snapshot could not be kept.
    #[error("cannot keep the snapshot of cache entry {key}")]
    Snapshot {
        /// The entry.
        key: CacheKey,
        /// Why.
        source: SnapshotError,
    },
}

impl From<rusqlite::Error> for CacheError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}
