//! The folders of one machine that runs.

use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::error::FileError;
use crate::files::{overlay_attribute, read_attributes};
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
    fn make(store: &Store, root: Option<&Path>) -> Result<Self, FileError> {
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
        match root {
            Some(root) => copy_folder(root, &upper)?,
            None => fs::set_permissions(&upper, Permissions::from_mode(0o755))
                .map_err(FileError::at("set the mode of", &upper))?,
        }
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
        Scratch::make(self, None)
    }

    /// As [`Store::scratch`], with mode, owner, attributes and time of the machine's root from the folder `root`: what a
    /// machine is mounted from. An owner that this process can't give is left out.
    ///
    /// # Errors
    /// The folders can't be made, or `root` can't be looked at.
    pub fn scratch_over(&self, root: &Path) -> Result<Scratch, FileError> {
        Scratch::make(self, Some(root))
    }
}

/// Gives the folder `to` what `from` has, but for what is in it and the overlay's own marks.
fn copy_folder(from: &Path, to: &Path) -> Result<(), FileError> {
    let below = fs::symlink_metadata(from).map_err(FileError::at("look at", from))?;
    match chown(to, Some(below.uid()), Some(below.gid())) {
        // An image of somebody else, or ids that machines don't have.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) => {}
        other => other.map_err(FileError::at("give away", to))?,
    }
    let folder = File::open(to).map_err(FileError::at("open", to))?;
    // One that is closed to this process shows its mode all the same.
    if let Ok(below) = File::open(from) {
        let attributes = read_attributes(below.as_fd()).map_err(FileError::at("copy the attributes of", from))?;
        for (name, value) in attributes.iter().filter(|(name, _)| overlay_attribute(name).is_none()) {
            match rustix::fs::fsetxattr(&folder, name, value, XattrFlags::empty()) {
                Err(Errno::PERM | Errno::OPNOTSUPP) => {}
                other => other.map_err(FileError::at("copy the attributes of", from))?,
            }
        }
    }
    folder
        .set_permissions(Permissions::from_mode(below.mode() & 0o7777))
        .map_err(FileError::at("set the mode of", to))?;
    let modified = below
        .modified()
        .map_err(FileError::at("copy the attributes of", from))?;
    folder
        .set_times(FileTimes::new().set_modified(modified))
        .map_err(FileError::at("set the time of", to))
}
