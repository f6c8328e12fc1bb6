//! Walking folders that a step may have filled with traps: no symbolic link is ever followed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, mkdirat, openat2, statat, unlinkat};
use rustix::io::Errno;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Whether a path is made of names only.
pub(super) fn is_plain(path: &Path) -> bool {
    let mut components = path.components().peekable();
    components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
}

pub(super) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens something beneath a folder.
pub(super) fn open_beneath(folder: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    loop {
        // EAGAIN: the tree changed during the walk.
        match openat2(folder, path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

pub(super) fn open_folder(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    open_beneath(folder, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Opens a folder and makes what is missing on the way. What is in the way is removed; `replaced` hears of it.
pub(super) fn make_folder(root: &OwnedFd, path: &Path, mut replaced: impl FnMut(&Path)) -> Result<OwnedFd, Errno> {
    match open_folder(root, path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
        result => return result,
    }
    let mut folder = open_folder(root, Path::new("."))?;
    let mut so_far = std::path::PathBuf::new();
    for component in path.components() {
        let name = Path::new(component.as_os_str());
        so_far.push(name);
        folder = match open_folder(&folder, name) {
            Err(Errno::NOENT) => make_and_open(&folder, name)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                replaced(&so_far);
                unlinkat(&folder, name, AtFlags::empty())?;
                make_and_open(&folder, name)?
            }
            result => result?,
        };
    }
    Ok(folder)
}

fn make_and_open(parent: &OwnedFd, name: &Path) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    open_folder(parent, name)
}

/// `None`: there is no such entry.
pub(super) fn stat_entry(parent: &OwnedFd, name: &Path) -> Result<Option<Stat>, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Removes a folder with all that is in it.
pub(super) fn remove_tree(parent: &OwnedFd, name: &Path) -> Result<(), Errno> {
    let place = Path::new("/proc/self/fd")
        .join(parent.as_fd().as_raw_fd().to_string())
        .join(name);
    std::fs::remove_dir_all(place).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Where an absolute path of the machine lies beneath its root.
pub(super) fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// A folder of the host, links allowed.
pub(super) fn open_source(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
