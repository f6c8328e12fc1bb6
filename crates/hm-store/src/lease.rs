//! Leases: what a living process holds, told from what a dead one left.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::{FileError, IndexError, StoreError};
use crate::ids::LeaseId;
use crate::layout::Layout;

const LOCK: &str = "lock";

/// One use of the store by this process. The lock on its file ends with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    _lock: File,
}

impl Lease {
    /// Begins a lease; the caller holds the store's lock.
    pub(crate) fn begin(
        layout: &Layout,
        taken: impl Fn(&LeaseId) -> Result<bool, IndexError>,
    ) -> Result<Self, StoreError> {
        let id = loop {
            let id = LeaseId::random();
            if !taken(&id)? && !layout.lease(&id).exists() {
                break id;
            }
        };
        let folder = layout.lease(&id);
        for made in [&folder, &folder.join("tmp")] {
            fs::create_dir(made).map_err(FileError::at("make", made))?;
        }
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(FileError::at("make", &path))?;
        lock.lock().map_err(FileError::at("lock", &path))?;
        Ok(Self { id, _lock: lock })
    }
}

/// Whether the process that made this lease's folder has ended.
pub(crate) fn is_dead(folder: &Path) -> Result<bool, FileError> {
    let path = folder.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(FileError::at("open", &path)(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(FileError::at("lock", &path)(error)),
    }
}
