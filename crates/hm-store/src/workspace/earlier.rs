//! An earlier tree whose files become those of a new one.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::CaptureError;
use super::manifest::{Entry, EntryKind, Manifest};

/// A tree captured earlier, beside the present one.
pub(super) struct EarlierTree<'a> {
    pub(super) then: Manifest,
    pub(super) now: &'a Manifest,
}

impl EarlierTree<'_> {
    /// The file or link with this path, where it is the same in both.
    pub(super) fn kept(&self, path: &[u8]) -> Option<Entry> {
        let now = self.now.get(path)?;
        (!is_dir(now) && self.then.get(path) == Some(now)).then(|| now.clone())
    }

    /// Takes away what the new tree doesn't have just so, and opens folders that are closed. Files are never written to:
    /// what a power cut undoes is then undone as a whole.
    pub(super) fn clear(&self, folder: BorrowedFd<'_>) -> Result<(), CaptureError> {
        let closed = |entry: &&Entry| is_dir(entry) && !Mode::from_raw_mode(entry.mode).contains(Mode::RWXU);
        for entry in self.then.entries().iter().filter(closed) {
            rustix::fs::chmodat(folder, &*entry.path, Mode::RWXU, AtFlags::empty())
                .map_err(|source| CaptureError::copy("open the folder", &entry.path, source))?;
        }
        // What a folder holds comes after it.
        for entry in self.then.entries().iter().rev() {
            let flags = if is_dir(entry) {
                AtFlags::REMOVEDIR
            } else {
                AtFlags::empty()
            };
            if self.stays(entry) {
                continue;
            }
            rustix::fs::unlinkat(folder, &*entry.path, flags)
                .map_err(|source| CaptureError::copy("remove", &entry.path, source))?;
        }
        Ok(())
    }

    fn stays(&self, entry: &Entry) -> bool {
        let now = self.now.get(&entry.path);
        now.is_some_and(|now| (is_dir(entry) && is_dir(now)) || entry == now)
    }
}

/// Makes a folder that may be there.
pub(super) fn make_folder(parent: BorrowedFd<'_>, path: &[u8]) -> Result<(), CaptureError> {
    match rustix::fs::mkdirat(parent, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(source) => Err(CaptureError::copy("make", path, source)),
    }
}

fn is_dir(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Dir)
}
