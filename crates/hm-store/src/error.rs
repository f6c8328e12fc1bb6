//! What can go wrong with the store as a whole.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ids::IdError;
use crate::snapshot::SnapshotError;

/// A system call on a file that failed.
#[derive(Debug, Error)]
#[error("cannot {doing} {}", path.display())]
pub struct FileError {
    /// The verb, for people.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// An error mapper for `doing` on `path`.
    pub fn at<E: Into<io::Error>>(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        move |source| Self {
            doing,
            path: path.as_ref().to_path_buf(),
            source: source.into(),
        }
    }
}

/// The index could not be asked or changed.
#[derive(Debug, Error)]
pub enum IndexError {
    /// `SQLite` said no.
    #[error("the store's index failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A row holds something that this version can't have written.
    #[error("the store's index holds a bad {what}")]
    BadId {
        /// Which column.
        what: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// A row holds JSON that can't be read.
    #[error("the store's index holds a bad {what}")]
    BadJson {
        /// Which column.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The index was made by a newer `hm`.
    #[error("the store's index has version {found}; this hm knows {known}")]
    Version {
        /// What the file says.
        found: i64,
        /// The newest known here.
        known: i64,
    },
}

/// The store could not be opened or closed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file could not be made, read or removed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A snapshot could not be removed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store has a layout that this version doesn't know.
    #[error("the store {} has format {found:?}; this hm knows {known:?}", root.display())]
    Format {
        /// Its folder.
        root: PathBuf,
        /// What its `FORMAT` says.
        found: String,
        /// What is known here.
        known: &'static str,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}
