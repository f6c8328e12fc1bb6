//! Finds what belongs to a workspace, with all cores.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::CaptureError;
use super::ignore_rules::{IgnoreRules, RuleFiles};
use crate::nanoseconds::mtime_ns;
use crate::work_queue::WorkQueue;

/// What to walk.
pub(super) struct WalkRequest<'a> {
    /// The root, absolute.
    pub(super) root: &'a Path,
    /// The root, open.
    pub(super) root_fd: BorrowedFd<'a>,
    /// Take `.git` along, at every depth; the ignore rules don't hold inside.
    pub(super) include_git: bool,
    /// Take the root's `.hm` along.
    pub(super) include_hm: bool,
    /// A folder that is left out: the store itself.
    pub(super) left_out: &'a Path,
    /// Excludes that hold everywhere.
    pub(super) global_excludes: Option<&'a Path>,
    /// How many threads.
    pub(super) threads: usize,
    /// Asked before each folder.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// What was found, in no order.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) dirs: Vec<FoundDir>,
    /// Regular files and symbolic links: paths below the root.
    pub(super) others: Vec<FoundOther>,
    /// What was left out and isn't a matter of rules.
    pub(super) notes: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct FoundDir {
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) mtime_ns: i128,
}

#[derive(Debug)]
pub(super) struct FoundOther {
    pub(super) path: Vec<u8>,
    pub(super) is_link: bool,
}

/// Walks the tree below the root.
pub(super) fn walk(request: &WalkRequest<'_>) -> Result<Found, CaptureError> {
    let mut notes = Vec::new();
    let above = IgnoreRules::above_root(request.root, request.global_excludes, &mut notes)
        .map_err(|source| CaptureError::io("read the ignore rules of", request.root.to_owned(), source))?;
    let first = Job {
        path: Vec::new(),
        rules: above,
        in_git: false,
    };
    let parts = WorkQueue::run(request.threads, first, |queue, job, found| {
        read_folder(request, &job, found, queue)
    })?;
    let mut all = Found::default();
    for part in parts {
        all.dirs.extend(part.dirs);
        all.others.extend(part.others);
        all.notes.extend(part.notes);
    }
    all.notes.extend(notes);
    Ok(all)
}

struct Job {
    path: Vec<u8>,
    rules: Arc<IgnoreRules>,
    in_git: bool,
}

fn read_folder(
    request: &WalkRequest<'_>,
    job: &Job,
    found: &mut Found,
    queue: &WorkQueue<Job>,
) -> Result<(), CaptureError> {
    if (request.stop)() {
        return Err(CaptureError::Stopped);
    }
    let absolute = if job.path.is_empty() {
        request.root.to_owned()
    } else {
        request.root.join(as_path(&job.path))
    };
    let failed = |source: Errno| CaptureError::io("read the folder", absolute.clone(), source.into());
    let Some(folder) = open_folder(request.root_fd, &job.path).map_err(failed)? else {
        return Ok(());
    };
    let stat = rustix::fs::fstat(&folder).map_err(failed)?;
    found.dirs.push(FoundDir {
        path: job.path.clone(),
        mode: stat.st_mode & 0o1777,
        mtime_ns: mtime_ns(&stat),
    });

    let entries = list(&folder).map_err(failed)?;
    let mut files = RuleFiles::default();
    for (name, _) in &entries {
        match name.as_slice() {
            b".ignore" => files.ignore = true,
            b".gitignore" => files.gitignore = true,
            b".git" => files.git = true,
            _ => {}
        }
    }
    let mut notes = Vec::new();
    let rules = IgnoreRules::enter(&job.rules, &absolute, files, &mut notes)
        .map_err(|source| CaptureError::io("read the ignore rules of", absolute.clone(), source))?;
    found.notes.extend(notes);

    let mut path = absolute;
    for (name, kind) in entries {
        let is_git = name == b".git";
        let is_hm = job.path.is_empty() && name == b".hm";
        if (is_git && !request.include_git) || (is_hm && !request.include_hm) {
            continue;
        }
        path.push(as_path(&name));
        let is_dir = kind == FileType::Directory;
        let ignored = !(is_git || is_hm || job.in_git) && rules.ignores(&path, is_dir);
        let left_out = ignored || (is_dir && path == request.left_out);
        path.pop();
        if left_out {
            continue;
        }
        let below = join(&job.path, &name);
        match kind {
            FileType::Directory => {
                queue.add(Job {
                    path: below,
                    rules: Arc::clone(&rules),
                    in_git: is_git || job.in_git,
                });
            }
            FileType::RegularFile => found.others.push(FoundOther {
                path: below,
                is_link: false,
            }),
            FileType::Symlink => found.others.push(FoundOther {
                path: below,
                is_link: true,
            }),
            FileType::Fifo => skip(found, &below, "a named pipe"),
            FileType::Socket => skip(found, &below, "a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => skip(found, &below, "a device"),
            FileType::Unknown => skip(found, &below, "of a kind that is not known"),
        }
    }
    Ok(())
}

fn skip(found: &mut Found, path: &[u8], what: &str) {
    found.notes.insert(format!(
        "{} is {what}: left out of the workspace",
        as_path(path).display()
    ));
}

/// Opens a folder below the root; `None` when it went away or was replaced since its name was read.
fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(root, path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if path != b"." => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names and kinds. Names that go away while they are listed are left out.
fn list(folder: &OwnedFd) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = match rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            };
        }
        entries.push((name.to_vec(), kind));
    }
    Ok(entries)
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    if !folder.is_empty() {
        path.extend_from_slice(folder);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Bytes as a path.
pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
