//! The differences, one by one. No step runs on the machine meanwhile.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fchmod, fchown, futimens, mkdirat, openat,
    readlinkat, sendfile, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::folder::{
    below_root, is_plain, kind, make_folder, open_beneath, open_folder, open_root, open_source, remove_tree, stat_entry,
};
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::protocol::{ApplyPlan, Outcome};
use crate::request::{ApplyOp, Expected, Owner};
use crate::step;
use crate::sys::{mode_of, times_of};

/// Mounts the machine's root in this process's mount namespace and performs the differences in it.
pub(crate) fn apply(context: &Context, plan: &ApplyPlan) -> Result<Outcome, SetupError> {
    rustix::process::umask(Mode::empty());
    let source = open_source(&plan.source).map_err(at(Stage::ApplySource, &plan.source))?;
    step::mount_root(context, &plan.rootfs)?;
    let failed = || at(Stage::ApplyTarget, &plan.target);
    let root = open_root(&plan.rootfs.merged).map_err(failed())?;
    let target = below_root(&plan.target);
    if let Some(op) = plan.ops.iter().find(|op| !is_plain(op.path())) {
        return Err(SetupError::new(Stage::Request, Errno::INVAL, op.path()));
    }
    if !is_plain(target) {
        return Err(failed()(Errno::INVAL));
    }
    let mut conflicts = BTreeSet::new();
    let target = make_folder(&root, target, |_| {
        conflicts.insert(PathBuf::new());
    })
    .map_err(failed())?;
    let mut applier = Applier {
        target,
        source,
        owner: plan.owner,
        conflicts,
    };
    applier.run(&plan.ops)?;
    Ok(Outcome::Applied {
        conflicts: applier.conflicts.into_iter().collect(),
    })
}

struct Applier {
    target: OwnedFd,
    source: OwnedFd,
    owner: Owner,
    conflicts: BTreeSet<PathBuf>,
}

impl Applier {
    fn run(&mut self, ops: &[ApplyOp]) -> Result<(), SetupError> {
        let mut folders_to_remove = Vec::new();
        for op in ops {
            match op {
                ApplyOp::Remove {
                    path,
                    dir: true,
                    expected: _,
                } => folders_to_remove.push(path),
                ApplyOp::Remove {
                    path,
                    dir: false,
                    expected,
                } => {
                    self.remove_file(path, *expected)
                        .map_err(at(Stage::ApplyTarget, path))?;
                }
                ApplyOp::Put { .. } => {}
            }
        }
        folders_to_remove.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        for path in folders_to_remove {
            self.remove_folder(path).map_err(at(Stage::ApplyTarget, path))?;
        }
        let mut folders_put = Vec::new();
        for op in ops {
            if let ApplyOp::Put {
                path,
                replaces,
                expected,
            } = op
            {
                let stat = self.source_stat(path).map_err(at(Stage::ApplySource, path))?;
                self.put(path, &stat, *replaces, *expected)?;
                if kind(&stat) == FileType::Directory {
                    folders_put.push((path, stat));
                }
            }
        }
        // Entries that are put into a folder change its time, so folders come last.
        for (path, stat) in folders_put {
            self.set_folder_time(path, &stat)
                .map_err(at(Stage::ApplyTarget, path))?;
        }
        Ok(())
    }

    fn remove_file(&mut self, path: &Path, expected: Option<Expected>) -> Result<(), Errno> {
        let Some((parent, name)) = self.parent_if_there(path)? else {
            return Ok(());
        };
        let Some(stat) = stat_entry(&parent, name)? else {
            return Ok(());
        };
        if kind(&stat) == FileType::Directory {
            self.conflicts.insert(path.to_owned());
            return Ok(());
        }
        if !is_as_expected(&stat, expected) {
            self.conflicts.insert(path.to_owned());
        }
        unlinkat(&parent, name, AtFlags::empty())
    }

    fn remove_folder(&mut self, path: &Path) -> Result<(), Errno> {
        let Some((parent, name)) = self.parent_if_there(path)? else {
            return Ok(());
        };
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(Errno::NOTDIR) => {
                self.conflicts.insert(path.to_owned());
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    /// `None`: a step removed a folder on the way, or replaced it, so that the entry is gone with it.
    fn parent_if_there<'a>(&self, path: &'a Path) -> Result<Option<(OwnedFd, &'a Path)>, Errno> {
        let (parent, name) = split(path)?;
        match open_folder(&self.target, parent) {
            Ok(folder) => Ok(Some((folder, name))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn source_stat(&self, path: &Path) -> Result<Stat, Errno> {
        let (parent, name) = split(path)?;
        let parent = open_folder(&self.source, parent)?;
        stat_entry(&parent, name)?.ok_or(Errno::NOENT)
    }

    fn put(&mut self, path: &Path, new: &Stat, replaces: bool, expected: Option<Expected>) -> Result<(), SetupError> {
        let failed = || at(Stage::ApplyTarget, path);
        let (parent, name) = split(path).map_err(failed())?;
        let conflicts = &mut self.conflicts;
        let parent = make_folder(&self.target, parent, |replaced| {
            conflicts.insert(replaced.to_owned());
        })
        .map_err(failed())?;
        let old = stat_entry(&parent, name).map_err(failed())?;
        let is_folder = kind(new) == FileType::Directory;
        let stays = is_folder && old.as_ref().is_some_and(|old| kind(old) == FileType::Directory);
        let touched = match &old {
            Some(_) if !replaces => !stays,
            Some(old) => !is_as_expected(old, expected),
            None => replaces && expected.is_some(),
        };
        if touched {
            self.conflicts.insert(path.to_owned());
        }
        if let Some(old) = old.filter(|_| !stays) {
            self.clear(&parent, name, path, &old).map_err(failed())?;
        }
        match kind(new) {
            FileType::Directory => self.put_folder(&parent, name, new, stays).map_err(failed()),
            FileType::Symlink => self.put_link(path, &parent, name, new),
            FileType::RegularFile => self.put_file(path, &parent, name, new),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(SetupError::new(Stage::ApplySource, Errno::INVAL, path)),
        }
    }

    /// Makes room for an entry of another kind or content.
    fn clear(&mut self, parent: &OwnedFd, name: &Path, path: &Path, old: &Stat) -> Result<(), Errno> {
        if kind(old) != FileType::Directory {
            return unlinkat(parent, name, AtFlags::empty());
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.conflicts.insert(path.to_owned());
                remove_tree(parent, name)
            }
            result => result,
        }
    }

    fn put_folder(&self, parent: &OwnedFd, name: &Path, new: &Stat, stays: bool) -> Result<(), Errno> {
        if !stays {
            mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            let (uid, gid) = self.ids();
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        chmodat(parent, name, mode_of(new), AtFlags::empty())
    }

    fn put_link(&self, path: &Path, parent: &OwnedFd, name: &Path, new: &Stat) -> Result<(), SetupError> {
        let read = || {
            let (source_parent, name) = split(path)?;
            readlinkat(&open_folder(&self.source, source_parent)?, name, Vec::new())
        };
        let target = read().map_err(at(Stage::ApplySource, path))?;
        let make = || {
            symlinkat(target, parent, name)?;
            let (uid, gid) = self.ids();
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            utimensat(parent, name, &times_of(new), AtFlags::SYMLINK_NOFOLLOW)
        };
        make().map_err(at(Stage::ApplyTarget, path))
    }

    fn put_file(&self, path: &Path, parent: &OwnedFd, name: &Path, new: &Stat) -> Result<(), SetupError> {
        let from = open_beneath(&self.source, path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map_err(at(Stage::ApplySource, path))?;
        let make = || {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
            while sendfile(&to, &from, None, 1 << 30)? > 0 {}
            let (uid, gid) = self.ids();
            fchown(&to, Some(uid), Some(gid))?;
            fchmod(&to, mode_of(new))?;
            futimens(&to, &times_of(new))
        };
        make().map_err(at(Stage::ApplyTarget, path))
    }

    fn set_folder_time(&self, path: &Path, stat: &Stat) -> Result<(), Errno> {
        let (parent, name) = split(path)?;
        match open_folder(&self.target, parent) {
            Ok(parent) => utimensat(&parent, name, &times_of(stat), AtFlags::SYMLINK_NOFOLLOW),
            // A later entry of the list replaced it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn ids(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid))
    }
}

fn split(path: &Path) -> Result<(&Path, &Path), Errno> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, Path::new(name))),
        _ => Err(Errno::INVAL),
    }
}

fn is_as_expected(stat: &Stat, expected: Option<Expected>) -> bool {
    expected.is_none_or(|expected| {
        kind(stat) == FileType::RegularFile
            && u64::try_from(stat.st_size) == Ok(expected.size)
            && stat.st_mode & 0o7777 == expected.mode
            && mtime_ns(stat) == i128::from(expected.mtime_ns)
    })
}

fn mtime_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}
