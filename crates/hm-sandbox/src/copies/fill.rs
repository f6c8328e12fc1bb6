//! Making the copy.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, mknodat, openat, readlinkat, symlinkat,
};
use rustix::io::Errno;

use super::attributes::{copy_content, give, give_by_name};
use super::entries::{Kind, in_machine, inside, open_file, open_folder, stat};
use super::stack::{Shown, Stack};
use crate::error::{SetupError, Stage, at};

/// Fills an empty folder with what layers show.
pub(super) fn fill(stack: &Stack<'_>, root: &OwnedFd) -> Result<(), SetupError> {
    let mut copier = Copier {
        root,
        links: HashMap::new(),
    };
    copier.folder(stack, Path::new(""), root)
}

struct Copier<'a> {
    root: &'a OwnedFd,
    /// Where a file with several names was copied to first, by its device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copier<'_> {
    /// `path` is that of `to`, from the root.
    fn folder(&mut self, from: &Stack<'_>, path: &Path, to: &OwnedFd) -> Result<(), SetupError> {
        let failed = || at(Stage::Copy, in_machine(path));
        for (name, shown) in from.entries().map_err(failed())? {
            let inside = inside(path, &name);
            if shown.kind == Kind::Folder {
                let inner = from.inner(&name).map_err(failed())?;
                let made = make_folder(to, &name).map_err(at(Stage::Copy, in_machine(&inside)))?;
                self.folder(&inner, &inside, &made)?;
            } else {
                let copied = self.entry(shown, &name, inside.clone(), to);
                copied.map_err(at(Stage::Copy, in_machine(&inside)))?;
            }
        }
        // Its time last: what is made in it changes it.
        let top = from.top().ok_or(Errno::NOENT).map_err(failed())?;
        let stat = fstat(top).map_err(failed())?;
        give(top, &stat, to).map_err(failed())
    }

    fn entry(&mut self, shown: Shown<'_>, name: &CStr, path: PathBuf, to: &OwnedFd) -> Result<(), Errno> {
        let stat = stat(shown.folder, name)?;
        if stat.st_nlink > 1 {
            let file = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&file) {
                return linkat(self.root, first, to, name, AtFlags::empty());
            }
            self.links.insert(file, path);
        }
        copy(shown.folder, name, &stat, to)
    }
}

fn make_folder(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    open_folder(parent, name)
}

fn copy(folder: &OwnedFd, name: &CStr, stat: &Stat, to: &OwnedFd) -> Result<(), Errno> {
    let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), Mode::RUSR | Mode::WUSR);
    if kind == FileType::RegularFile {
        let from = open_file(folder, name)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(to, name, flags, mode)?;
        copy_content(&from, u64::try_from(stat.st_size).unwrap_or(0), &file)?;
        return give(&from, stat, &file);
    }
    if kind == FileType::Symlink {
        symlinkat(readlinkat(folder, name, Vec::new())?, to, name)?;
    } else {
        mknodat(to, name, kind, mode, stat.st_rdev)?;
    }
    give_by_name(stat, to, name)
}
