//! What a folder of a layer holds, in the kernel's words for overlays.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, openat, statat};
use rustix::io::Errno;

/// Says that nothing beneath a folder shows (kernel: Documentation/filesystems/overlayfs.rst).
pub(super) const OPAQUE: &str = "user.overlay.opaque";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// What is beneath is removed: a character device 0:0.
    Removal,
    Other(FileType),
}

pub(super) type Entries = BTreeMap<CString, Kind>;

pub(super) fn list(folder: impl AsFd) -> Result<Entries, Errno> {
    let folder = open_folder(&folder, c".")?;
    let mut entries = Entries::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let told = entry.file_type();
        let kind = if matches!(told, FileType::CharacterDevice | FileType::Unknown) {
            of_stat(&statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
        } else {
            of_type(told)
        };
        entries.insert(name.to_owned(), kind);
    }
    Ok(entries)
}

fn of_stat(stat: &Stat) -> Kind {
    let file_type = FileType::from_raw_mode(stat.st_mode);
    if file_type == FileType::CharacterDevice && stat.st_rdev == 0 {
        Kind::Removal
    } else {
        of_type(file_type)
    }
}

fn of_type(file_type: FileType) -> Kind {
    if file_type.is_dir() {
        Kind::Folder
    } else {
        Kind::Other(file_type)
    }
}

/// Never through a symbolic link.
pub(super) fn open_folder(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

pub(super) fn is_marked(folder: &OwnedFd, mark: &str) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match fgetxattr(folder, mark, &mut value) {
        Ok(length) => Ok(length == 1 && value == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
