//! The file that a layer is downloaded to. It outlives the process, so that the next one goes on where this one
//! ended, and it is locked while a process works on it, so that no two load the same layer.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::error::FileError;
use crate::files::remove_tree;
use crate::ids::{ImageDigest, LayerId};
use crate::image::kept::is_forgotten;
use crate::layout::Layout;

/// How often a file that another process works on is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A file that this process alone works on.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Opens the file for a layer as soon as no other download works on it.
    pub(super) async fn lock(layout: &Layout, layer: &LayerId, blob: &ImageDigest) -> Result<Self, FileError> {
        let path = path_of(layout, layer, blob);
        loop {
            if let Some(locked) = Self::try_lock(&path)? {
                return Ok(locked);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The same, for threads that may wait.
    pub(super) fn lock_blocking(layout: &Layout, layer: &LayerId, blob: &ImageDigest) -> Result<Self, FileError> {
        let path = path_of(layout, layer, blob);
        loop {
            if let Some(locked) = Self::try_lock(&path)? {
                return Ok(locked);
            }
            std::thread::sleep(POLL);
        }
    }

    fn try_lock(path: &Path) -> Result<Option<Self>, FileError> {
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(FileError::at("open", path))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path)? => {
                    let path = path.to_owned();
                    return Ok(Some(Self { path, file }));
                }
                // Whoever had it has removed or named it since it was opened.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(FileError::at("lock", path)(error)),
            }
        }
    }

    /// The same file once more, to be read.
    pub(super) fn reader(&self) -> Result<File, FileError> {
        File::open(&self.path).map_err(FileError::at("open", &self.path))
    }

    pub(super) fn length(&self) -> Result<u64, FileError> {
        Ok(self
            .file
            .metadata()
            .map_err(FileError::at("look at", &self.path))?
            .len())
    }

    /// Forgets all that is there.
    pub(super) fn clear(&mut self) -> Result<(), FileError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(FileError::at("empty", &self.path))?;
        Ok(())
    }

    /// Gives all that is there to `take`; what is written then comes after it.
    pub(super) fn read_all(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), FileError> {
        let mut buffer = vec![0; 256 << 10];
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(FileError::at("read", &self.path))?;
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => take(&buffer[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::at("read", &self.path)(error)),
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        io::Write::write_all(&mut self.file, bytes).map_err(FileError::at("write", &self.path))
    }

    /// Makes it the kept blob with this digest, which its bytes have, once they have reached the disk.
    pub(super) fn keep(self, layout: &Layout, blob: &ImageDigest) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at("sync", &self.path))?;
        let place = layout.kept_blob(blob);
        if place.is_dir() {
            // It is no blob, and a file can't replace it.
            remove_tree(&place)?;
        }
        fs::rename(&self.path, place).map_err(FileError::at("name", &self.path))
    }

    /// Removes the file, then lets others have it.
    pub(super) fn remove(self) -> Result<(), FileError> {
        fs::remove_file(&self.path).map_err(FileError::at("remove", &self.path))
    }
}

/// Removes what earlier downloads left that nobody came back to.
pub(super) fn remove_forgotten(layout: &Layout, now: Timestamp) -> Result<(), FileError> {
    remove_idle(layout, |path| is_forgotten(path, now))
}

/// Removes all that earlier downloads left.
pub(in crate::image) fn remove_partials(layout: &Layout) -> Result<(), FileError> {
    remove_idle(layout, |_| true)
}

/// Removes those of the files that nobody works on.
fn remove_idle(layout: &Layout, goes: impl Fn(&Path) -> bool) -> Result<(), FileError> {
    let folder = layout.partial_blobs();
    for entry in fs::read_dir(&folder).map_err(FileError::at("list", &folder))? {
        let path = entry.map_err(FileError::at("list", &folder))?.path();
        let Ok(file) = File::open(&path) else { continue };
        if goes(&path) && file.try_lock().is_ok() {
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
    }
    Ok(())
}

fn path_of(layout: &Layout, layer: &LayerId, blob: &ImageDigest) -> PathBuf {
    let hex = blob.to_hex();
    let name = format!("{layer}-{}", hex.get(..20).unwrap_or(&hex));
    layout.partial_blobs().join(name)
}

fn is_at(file: &File, path: &Path) -> Result<bool, FileError> {
    let here = file.metadata().map_err(FileError::at("look at", path))?;
    Ok(fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())))
}
