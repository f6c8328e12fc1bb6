//! From a reference to an image that machines can boot from.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ImageLimits;
use super::folder::folder_digest;
use super::host::host_digest;
use super::{ImageError, ImageRef, Platform};
use crate::error::FileError;
use crate::ids::ImageDigest;
use crate::store::Store;

/// What an image says about the processes in it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Names and values, in the image's order.
    pub env: Vec<(String, String)>,
    /// `USER`, `UID`, `USER:GROUP` or `UID:GID`; `None` is root.
    pub user: Option<String>,
    /// The folder that commands start in.
    pub working_dir: Option<String>,
}

/// An image, ready to be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedImage {
    /// Its identity.
    pub digest: ImageDigest,
    /// Folders to be stacked, the bottom first, in the form that overlayfs wants. Empty for `host`.
    pub layers: Vec<PathBuf>,
    /// What it says about processes.
    pub config: ImageConfig,
    /// It is this machine's own root file system.
    pub host: bool,
}

impl Store {
    /// Finds the image, and unpacks what of it is not unpacked yet. `platform` chooses among the images of a reference
    /// that stands for several. Relative paths are taken from the process's working folder. Registries are not asked:
    /// see [`Images::resolve`](super::Images::resolve).
    ///
    /// # Errors
    /// See [`ImageError`]; [`ImageError::fix`] tells what to do.
    pub fn resolve_image(&self, reference: &ImageRef, platform: &Platform) -> Result<ResolvedImage, ImageError> {
        match reference {
            ImageRef::Host => Ok(ResolvedImage {
                digest: host_digest(Path::new("/"))?,
                layers: Vec::new(),
                config: ImageConfig::default(),
                host: true,
            }),
            ImageRef::Dir(path) => {
                let path = find(path)?;
                let store = find(self.layout().root())?;
                if store.starts_with(&path) || path.starts_with(&store) {
                    return Err(ImageError::OverStore { path, store });
                }
                let digest = folder_digest(&path)?;
                Ok(ResolvedImage {
                    digest,
                    layers: vec![path],
                    config: ImageConfig::default(),
                    host: false,
                })
            }
            ImageRef::Oci(_) | ImageRef::OciArchive(_) | ImageRef::DockerArchive(_) => {
                self.resolve_archive(reference, platform, &ImageLimits::default())
            }
            ImageRef::DockerDaemon(name) => Err(ImageError::DaemonUnsupported { name: name.clone() }),
            ImageRef::Registry(name) => Err(ImageError::RegistryUnsupported {
                reference: name.to_string(),
            }),
        }
    }
}

/// The path without links and relative parts.
pub(super) fn find(path: &Path) -> Result<PathBuf, ImageError> {
    fs::canonicalize(path).map_err(|source| {
        if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            ImageError::NotFound {
                path: path.to_owned(),
                source,
            }
        } else {
            FileError::at("find", path)(source).into()
        }
    })
}
