//! What can go wrong with a workspace.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::manifest_file::ManifestFormatError;
use crate::error::{FileError, IndexError};

/// A workspace could not be captured or read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// A file of the working tree or of the store could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The copy of a file could not be made.
    #[error("cannot {doing} the copy of {} in the store", path.display())]
    Copy {
        /// The verb, for people.
        doing: &'static str,
        /// The file, below the workspace's root.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file was different after each time it was read.
    #[error("{} changed while it was read, {attempts} times in a row; stop what writes to it, or ignore it", path.display())]
    KeepsChanging {
        /// The file.
        path: PathBuf,
        /// How often it was read.
        attempts: usize,
    },
    /// The caller asked for an end of it.
    #[error("the capture was stopped")]
    Stopped,
    /// The manifest of a captured workspace is damaged.
    #[error("{} can't be read", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestFormatError,
    },
    /// The store's index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl CaptureError {
    pub(super) fn io(doing: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self::File(FileError { doing, path, source })
    }

    pub(super) fn copy(doing: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Copy {
            doing,
            path: super::walk::as_path(path).to_owned(),
            source: source.into(),
        }
    }
}
