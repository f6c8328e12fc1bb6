//! What a folder of a layer holds, in the kernel's words for overlays (kernel: Documentation/filesystems/overlayfs.rst).

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, mknodat, openat, statat};
use rustix::io::Errno;

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
            of_stat(&stat(&folder, name)?)
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

/// Of the entry itself, also where it is a symbolic link.
pub(super) fn stat(folder: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Never through a symbolic link.
pub(super) fn open_folder(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Opens a regular file, never through a symbolic link.
pub(super) fn open_file(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Whether nothing beneath a folder shows. `mark` is the attribute that says so.
pub(super) fn is_opaque(folder: &OwnedFd, mark: &str) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match fgetxattr(folder, mark, &mut value) {
        Ok(length) => Ok(length == 1 && value == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The path of an entry of the folder at `path`.
pub(super) fn inside(path: &Path, name: &CStr) -> PathBuf {
    path.join(OsStr::from_bytes(name.to_bytes()))
}

/// As the machine names what is at `path` from its root.
pub(super) fn in_machine(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}

pub(super) fn make_removal(folder: impl AsFd, name: &CStr) -> Result<(), Errno> {
    mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0)
}
