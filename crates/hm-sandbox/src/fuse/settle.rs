//! Brings an upper folder of fuse-overlayfs(1) into the kernel's form, so that a layer means the same to both.
//!
//! What fuse-overlayfs shows is what a machine saw. What it wrote down for the next one is not always the same: version 1.10
//! shows what a removed folder held when another one is renamed to its name. So each folder that was changed is compared
//! with what shows; a difference is an error.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags, fremovexattr, fsetxattr, fstat,
    futimens, lremovexattr, mknodat, open, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::entries::{Entries, Kind, OPAQUE, is_marked, list, open_folder};
use crate::error::{SetupError, Stage, at};

/// As [`OPAQUE`], in the words of fuse-overlayfs: an attribute and, where there are none, a file.
const FUSE_OPAQUE: &str = "user.fuseoverlayfs.opaque";
const OPAQUE_FILE: &CStr = c".wh..wh..opq";
/// What a file was copied from.
const FUSE_ORIGIN: &str = "user.fuseoverlayfs.origin";
/// What the name of a removal begins with where a device can't be made.
const REMOVAL: &[u8] = b".wh.";

/// `shown` is the mount itself.
pub(super) fn settle(upper: &Path, lower: &[PathBuf], shown: BorrowedFd<'_>) -> Result<(), SetupError> {
    let failed = |path: &Path| at(Stage::Settle, path.to_owned());
    let shown = open_folder(shown, c".").map_err(failed(upper))?;
    // The server has everything then.
    syncfs(&shown).map_err(failed(upper))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| open(path, flags, Mode::empty()).map_err(failed(path));
    let place = Place {
        path: PathBuf::from("/"),
        upper: open(upper)?,
        shown,
        lower: lower.iter().map(|layer| open(layer)).collect::<Result<_, _>>()?,
        covers: true,
    };
    place.settle()
}

/// A folder that was changed.
struct Place {
    /// In the machine.
    path: PathBuf,
    upper: OwnedFd,
    shown: OwnedFd,
    /// The folders beneath that are merged with it where it is not opaque, top first.
    lower: Vec<OwnedFd>,
    /// Something of its name is beneath.
    covers: bool,
}

impl Place {
    fn settle(mut self) -> Result<(), SetupError> {
        let before = self.at(fstat(&self.upper))?;
        let (entries, opaque) = self.at(self.translate())?;
        if opaque {
            self.lower.clear();
        }
        let below = self.at(self.below())?;
        let shown = self.at(list(&self.shown))?;
        for (name, kind) in &entries {
            match kind {
                Kind::Removal if shown.contains_key(name) => return Err(self.lost(name)),
                Kind::Removal if below.get(name).is_some_and(|kind| *kind != Kind::Removal) => {}
                Kind::Removal => self.at(unlinkat(&self.upper, name, AtFlags::empty()))?,
                _ if shown.get(name) != Some(kind) => return Err(self.lost(name)),
                Kind::Folder => self.inner(name, &below)?.settle()?,
                Kind::Other(_) => self.at(forget_origin(&self.upper, name))?,
            }
        }
        let unchanged = shown.iter().filter(|(name, _)| !entries.contains_key(*name));
        for (name, kind) in unchanged {
            if below.get(name) != Some(kind) {
                return Err(self.lost(name));
            }
        }
        let beneath = below
            .iter()
            .filter(|(name, kind)| **kind != Kind::Removal && !hides(name));
        for (name, _) in beneath {
            if !entries.contains_key(name) && !shown.contains_key(name) {
                return Err(self.lost(name));
            }
        }
        // Nobody changed the folder.
        let modified = Timespec {
            tv_sec: before.st_mtime,
            tv_nsec: before.st_mtime_nsec.try_into().unwrap_or(0),
        };
        let accessed = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        let times = Timestamps {
            last_access: accessed,
            last_modification: modified,
        };
        self.at(futimens(&self.upper, &times))
    }

    /// Puts the kernel's marks in place of those of fuse-overlayfs. What is then there, and whether it is opaque.
    fn translate(&self) -> Result<(Entries, bool), Errno> {
        let mut entries = list(&self.upper)?;
        let marks: BTreeSet<CString> = entries.keys().filter(|name| hides(name)).cloned().collect();
        let mut opaque = is_marked(&self.upper, OPAQUE)? || is_marked(&self.upper, FUSE_OPAQUE)?;
        for mark in marks {
            unlinkat(&self.upper, &mark, AtFlags::empty())?;
            entries.remove(&mark);
            if *mark == *OPAQUE_FILE {
                opaque = true;
            } else if let Some(name) = removed_by(&mark) {
                remove(&self.upper, &name)?;
                entries.insert(name, Kind::Removal);
            }
        }
        for mark in [FUSE_OPAQUE, FUSE_ORIGIN] {
            without_attribute(fremovexattr(&self.upper, mark))?;
        }
        if opaque && self.covers {
            fsetxattr(&self.upper, OPAQUE, b"y", XattrFlags::empty())?;
        } else {
            without_attribute(fremovexattr(&self.upper, OPAQUE))?;
        }
        Ok((entries, opaque))
    }

    /// What shows of the folders beneath, with removals.
    fn below(&self) -> Result<Entries, Errno> {
        let mut below = Entries::new();
        for folder in &self.lower {
            for (name, kind) in list(folder)? {
                below.entry(name).or_insert(kind);
            }
        }
        Ok(below)
    }

    fn inner(&self, name: &CString, below: &Entries) -> Result<Self, SetupError> {
        let mut lower = Vec::new();
        for folder in &self.lower {
            match open_folder(folder, name) {
                Ok(inner) => {
                    let is_last = self.at(is_marked(&inner, OPAQUE))?;
                    lower.push(inner);
                    if is_last {
                        break;
                    }
                }
                Err(Errno::NOENT) => {}
                // A file, a link or a removal covers what is beneath it.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => break,
                Err(errno) => return Err(SetupError::new(Stage::Settle, errno, self.inside(name))),
            }
        }
        Ok(Self {
            path: self.inside(name),
            upper: self.at(open_folder(&self.upper, name))?,
            shown: self.at(open_folder(&self.shown, name))?,
            lower,
            covers: below.contains_key(name),
        })
    }

    /// What was written down is not what the machine saw.
    fn lost(&self, name: &CStr) -> SetupError {
        SetupError::new(Stage::Settle, Errno::STALE, self.inside(name))
    }

    fn inside(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    fn at<T>(&self, result: Result<T, Errno>) -> Result<T, SetupError> {
        result.map_err(at(Stage::Settle, &self.path))
    }
}

/// Whether fuse-overlayfs takes a file of this name for a mark.
fn hides(name: &CStr) -> bool {
    name.to_bytes().starts_with(REMOVAL)
}

/// The name that a mark removes; `None`: it says something else.
fn removed_by(mark: &CStr) -> Option<CString> {
    let name = mark.to_bytes().strip_prefix(REMOVAL)?;
    let is_name = !name.is_empty() && !name.starts_with(b".wh.") && name != b".opq";
    is_name.then(|| CString::new(name).ok()).flatten()
}

/// Makes a removal as the kernel does.
fn remove(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// There is no call that takes a folder and a name.
fn forget_origin(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let path = Path::new("/proc/self/fd").join(folder.as_fd().as_raw_fd().to_string());
    without_attribute(lremovexattr(path.join(OsStr::from_bytes(name.to_bytes())), FUSE_ORIGIN))
}

/// Links and devices have no such attributes.
fn without_attribute(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        removed => removed,
    }
}
