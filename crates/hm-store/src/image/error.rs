//! What can go wrong with an image.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::{FileError, IndexError};

/// An image could not be had.
#[derive(Debug, Error)]
pub enum ImageError {
    /// Nothing is where the reference points to.
    #[error("there is no image at {}", path.display())]
    NotFound {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, and is something else.
    #[error("{} is not {expected}", path.display())]
    WrongKind {
        /// The file or folder.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store's index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Images of registries can't be pulled.
    #[error("{reference} is an image of a registry, and pulling is not available")]
    RegistryUnsupported {
        /// The reference, with its defaults filled in.
        reference: String,
    },
    /// Images of a Docker engine can't be read.
    #[error("docker-daemon:{name} is an image of a Docker engine, and reading from one is not available")]
    DaemonUnsupported {
        /// The image's name.
        name: String,
    },
    /// Images in archives and layouts can't be unpacked.
    #[error("{reference}: this form of image is not available")]
    ArchiveUnsupported {
        /// The reference.
        reference: String,
    },
}

impl ImageError {
    /// What to do about it, in words or commands.
    pub fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::NotFound { .. } => "check the path; a relative one is taken from the project's folder".to_owned(),
            Self::RegistryUnsupported { reference } => {
                format!("fetch it once: skopeo copy docker://{reference} oci:image, and use image=\"oci:image\"")
            }
            Self::DaemonUnsupported { name } => {
                format!("save it once: docker save {name} -o image.tar, and use image=\"docker-archive:image.tar\"")
            }
            Self::ArchiveUnsupported { .. } => "unpack it, and use dir:PATH".to_owned(),
            Self::WrongKind { .. } | Self::File(_) | Self::Index(_) => return None,
        };
        Some(fix)
    }
}
