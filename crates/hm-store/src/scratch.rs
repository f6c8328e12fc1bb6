//! The folders of one machine that runs.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::FileError;
use crate::store::Store;

/// Three empty folders for an overlay mount: the upper layer, its work folder, and where to mount.
///
/// It either becomes a snapshot ([`crate::Snapshots::commit`]) or is closed; one that is dropped stays until the lease
/// ends.
#[derive(Debug)]
pub struct Scratch {
    store: Store,
    folder: PathBuf,
}

impl Scratch {
    pub(crate) fn make(store: &Store) -> Result<Self, FileError> {
        let folder = store.layout().lease(store.lease()).join(store.count().to_string());
        let scratch = Self {
            store: store.clone(),
            folder,
        };
        for path in [&scratch.folder, &scratch.upper(), &scratch.work(), &scratch.merged()] {
            DirBuilder::new()
                .mode(0o755)
                .create(path)
                .map_err(FileError::at("make", path))?;
        }
        // The upper folder's own mode is the mode of the machine's root, whatever this process's umask is.
        let upper = scratch.upper();
        fs::set_permissions(&upper, Permissions::from_mode(0o755)).map_err(FileError::at("set the mode of", &upper))?;
        Ok(scratch)
    }

    /// What the machine writes; becomes the layer of a snapshot.
    pub fn upper(&self) -> PathBuf {
        self.folder.join("u")
    }

    /// The overlay's work folder.
    pub fn work(&self) -> PathBuf {
        self.folder.join("w")
    }

    /// An empty folder to mount the machine's root on.
    pub fn merged(&self) -> PathBuf {
        self.folder.join("m")
    }

    /// Removes the folders with what is in them.
    ///
    /// # Errors
    /// None: the files go in the background, and [`Store::settle`] tells what could not be removed.
    pub fn close(self) -> Result<(), FileError> {
        self.store.discard(self.folder);
        Ok(())
    }

    /// Turns the upper folder into `layer` and removes the rest.
    pub(crate) fn become_layer(self, layer: &Path) -> Result<(), FileError> {
        let renamed = fs::rename(self.upper(), layer).map_err(FileError::at("name", layer));
        self.store.discard(self.folder);
        renamed
    }
}

impl Store {
    /// Makes the folders of a new machine.
    ///
    /// # Errors
    /// The folders can't be made.
    pub fn scratch(&self) -> Result<Scratch, FileError> {
        Scratch::make(self)
    }
}
