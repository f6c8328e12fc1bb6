//! The folder that a layer is unpacked into, which no path leads out of.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::UnpackError;
use crate::files::remove_tree;

/// A layer's root.
pub(super) struct LayerRoot {
    root: OwnedFd,
}

/// Where an entry goes.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: Vec<u8>,
    /// From the layer's root, for messages and as a key.
    pub(super) path: Vec<u8>,
}

impl LayerRoot {
    pub(super) fn open(root: &Path) -> Result<Self, UnpackError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(root, flags, Mode::empty()) {
            Ok(root) => Ok(Self { root }),
            Err(source) => Err(UnpackError::Entry {
                doing: "open the folder",
                path: root.display().to_string(),
                source: source.into(),
            }),
        }
    }

    /// Opens a folder to work in. Links are followed as they would be with this root as `/`.
    pub(super) fn open_folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_in(&self.root, path, OFlags::PATH, ResolveFlags::IN_ROOT)
    }

    /// Opens a folder to change its mode, owner, times and attributes.
    pub(super) fn open_to_change(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_in(&self.root, path, OFlags::RDONLY, ResolveFlags::IN_ROOT)
    }

    /// The folder with this path, if there is one and no link leads to it.
    pub(super) fn stat_folder(&self, path: &[u8]) -> Option<Stat> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        rustix::fs::fstat(open_in(&self.root, path, OFlags::PATH, resolve).ok()?).ok()
    }
}

impl Place {
    /// Removes whatever is there.
    pub(super) fn remove(&self) -> Result<(), UnpackError> {
        let by_fd = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
        remove_tree(&by_fd.join(std::ffi::OsStr::from_bytes(&self.name))).map_err(|error| UnpackError::Entry {
            doing: "replace",
            path: shown(&self.path),
            source: error.source,
        })
    }

    /// What is there.
    pub(super) fn kind(&self) -> Result<Option<FileType>, UnpackError> {
        match rustix::fs::statat(self.folder.as_fd(), self.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(source) => Err(self.error("look at", source)),
        }
    }

    pub(super) fn error(&self, doing: &'static str, source: Errno) -> UnpackError {
        UnpackError::Entry {
            doing,
            path: shown(&self.path),
            source: source.into(),
        }
    }
}

/// A path for people.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn open_in(root: &OwnedFd, path: &[u8], flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS) {
            // A rename somewhere on the machine came in between.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}
