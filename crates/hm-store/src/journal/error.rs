//! What can go wrong with a journal.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::{FileError, IndexError};

/// A journal could not be written or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A file could not be made, written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An event can't be put into JSON.
    #[error("cannot encode an event")]
    Encode(#[source] serde_json::Error),
    /// A file holds something that no journal of this version holds.
    #[error("{} is damaged at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The build has ended: nothing comes after its last event.
    #[error("the build has ended")]
    Ended,
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}
