//! Reads files and links of a working tree that may change meanwhile, and copies them.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec};
use rustix::io::Errno;

use super::CaptureError;
use super::earlier::EarlierTree;
use super::manifest::{Entry, EntryKind, FileHash};
use super::walk::{FoundOther, as_path};
use crate::files::next_data;
use crate::nanoseconds::{mtime_ns, times, timespec};
use crate::work_queue::on_threads;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 8;
/// Files up to this size are read with one call.
const CHUNK: usize = 256 * 1024;
/// Below this size copying is no dearer than sharing blocks.
const CLONE_FROM: u64 = 64 * 1024;
/// How many files a thread takes at once: neighbours, so that threads seldom work in the same folder.
const BATCH: usize = 32;

/// Reads what was found; with a destination also copies it.
pub(super) struct Reader<'a> {
    /// Path of the working tree, for messages.
    pub(super) root_path: &'a Path,
    /// The working tree.
    pub(super) root: BorrowedFd<'a>,
    /// Where copies go; all folders are there. Without it entries are only hashed.
    pub(super) destination: Option<BorrowedFd<'a>>,
    /// What the destination was made of, if it has files of an earlier tree.
    pub(super) earlier: Option<&'a EarlierTree<'a>>,
    /// Whether the file systems share blocks; cleared at the first refusal.
    pub(super) can_clone: &'a AtomicBool,
    /// Called with each file's path when its bytes are read and before it is checked whether it changed.
    pub(super) after_read: &'a (dyn Fn(&[u8]) + Sync),
    /// Asked before each file and each part of a large one.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Reader<'_> {
    /// The entries of all that is still there, in the order given.
    pub(super) fn read_all(&self, found: &[FoundOther], threads: usize) -> Result<Vec<Entry>, CaptureError> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || -> Result<Vec<Entry>, CaptureError> {
            let mut buffer = vec![0; CHUNK];
            let mut entries = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let start = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) = found
                    .get(start..found.len().min(start + BATCH))
                    .filter(|batch| !batch.is_empty())
                else {
                    break;
                };
                for other in batch {
                    match self.read(other, &mut buffer) {
                        Ok(entry) => entries.extend(entry),
                        Err(error) => {
                            failed.store(true, Ordering::Relaxed);
                            return Err(error);
                        }
                    }
                }
            }
            Ok(entries)
        };
        let mut entries = Vec::with_capacity(found.len());
        for part in on_threads(threads, work) {
            entries.extend(part?);
        }
        Ok(entries)
    }

    fn absolute(&self, path: &[u8]) -> PathBuf {
        self.root_path.join(as_path(path))
    }

    /// The entry, or `None` when it went away. A file that turned into a link, or the other way round, is read as what
    /// it is by then.
    fn read(&self, found: &FoundOther, buffer: &mut [u8]) -> Result<Option<Entry>, CaptureError> {
        if (self.stop)() {
            return Err(CaptureError::Stopped);
        }
        if let Some(entry) = self.keep(&found.path)? {
            return Ok(Some(entry));
        }
        let mut is_link = found.is_link;
        for _ in 0..ATTEMPTS {
            let attempt = if is_link {
                self.read_link(&found.path)?
            } else {
                self.read_file(&found.path, buffer)?
            };
            match attempt {
                Attempt::Read(entry) => return Ok(Some(entry)),
                Attempt::Gone => return Ok(None),
                Attempt::Changed => thread::yield_now(),
                Attempt::OtherKind => is_link = !is_link,
            }
        }
        Err(CaptureError::KeepsChanging {
            path: self.absolute(&found.path),
            attempts: ATTEMPTS,
        })
    }

    /// The entry that the destination has already, where it is still as the working tree has it. Else it is taken away.
    fn keep(&self, path: &[u8]) -> Result<Option<Entry>, CaptureError> {
        let (Some(earlier), Some(destination)) = (self.earlier, self.destination) else {
            return Ok(None);
        };
        let Some(entry) = earlier.kept(path) else {
            return Ok(None);
        };
        let found = rustix::fs::statat(self.root, path, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| is_still(&entry, &stat)) {
            return Ok(Some(entry));
        }
        rustix::fs::unlinkat(destination, path, AtFlags::empty())
            .map_err(|source| CaptureError::copy("remove", path, source))?;
        Ok(None)
    }

    fn read_link(&self, path: &[u8]) -> Result<Attempt, CaptureError> {
        let failed = |source: Errno| CaptureError::io("read the link", self.absolute(path), source.into());
        let target = match rustix::fs::readlinkat(self.root, path, Vec::new()) {
            Ok(target) => target.into_bytes(),
            Err(Errno::INVAL) => return Ok(Attempt::OtherKind),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Attempt::Gone),
            Err(error) => return Err(failed(error)),
        };
        let stat = match rustix::fs::statat(self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Attempt::Gone),
            Err(error) => return Err(failed(error)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(Attempt::OtherKind);
        }
        if let Some(destination) = self.destination {
            let written = rustix::fs::symlinkat(target.as_slice(), destination, path)
                .and_then(|()| set_times(destination, path, &stat));
            written.map_err(|source| CaptureError::copy("write the link", path, source))?;
        }
        Ok(Attempt::Read(Entry {
            path: path.into(),
            kind: EntryKind::Symlink { target: target.into() },
            mode: 0o777,
            mtime_ns: mtime_ns(&stat),
        }))
    }

    fn read_file(&self, path: &[u8], buffer: &mut [u8]) -> Result<Attempt, CaptureError> {
        let failed = |source: Errno| CaptureError::io("read", self.absolute(path), source.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = match rustix::fs::openat(self.root, path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP) => return Ok(Attempt::OtherKind),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Attempt::Gone),
            Err(error) => return Err(failed(error)),
        };
        let before = rustix::fs::fstat(&source).map_err(failed)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Ok(Attempt::Gone);
        }

        let copy = match self.destination {
            Some(destination) => Some(create(destination, path, mode_of(&before))?),
            None => None,
        };
        let read = self.read_content(path, &source, &before, copy.as_ref(), buffer)?;
        (self.after_read)(path);
        let after = rustix::fs::fstat(&source).map_err(failed)?;
        if read.length != size_of(&before) || !is_same(&before, &after) {
            if let Some(destination) = self.destination {
                rustix::fs::unlinkat(destination, path, AtFlags::empty())
                    .map_err(|source| CaptureError::copy("remove", path, source))?;
            }
            return Ok(Attempt::Changed);
        }
        if let Some(copy) = copy {
            finish(&copy, &before).map_err(|source| CaptureError::copy("write", path, source))?;
        }
        Ok(Attempt::Read(Entry {
            path: path.into(),
            kind: EntryKind::File {
                size: read.length,
                hash: read.hash,
            },
            mode: before.st_mode & 0o1777,
            mtime_ns: mtime_ns(&before),
        }))
    }

    fn read_content(
        &self,
        path: &[u8],
        source: &OwnedFd,
        stat: &Stat,
        copy: Option<&OwnedFd>,
        buffer: &mut [u8],
    ) -> Result<Content, CaptureError> {
        let failed = |source: Errno| CaptureError::io("read", self.absolute(path), source.into());
        if let Some(copy) = copy
            && size_of(stat) >= CLONE_FROM
            && self.can_clone.load(Ordering::Relaxed)
        {
            match rustix::fs::ioctl_ficlone(copy, source) {
                // The clone stands still, so what is hashed is what is kept.
                Ok(()) => {
                    return hash(copy, stat, None, buffer, self.stop).map_err(|error| match error {
                        CopyError::Stopped => CaptureError::Stopped,
                        CopyError::Read(error) | CopyError::Write(error) => failed(error),
                    });
                }
                Err(_) => self.can_clone.store(false, Ordering::Relaxed),
            }
        }
        hash(source, stat, copy, buffer, self.stop).map_err(|error| match error {
            CopyError::Stopped => CaptureError::Stopped,
            CopyError::Read(error) => failed(error),
            CopyError::Write(error) => CaptureError::copy("write", path, error),
        })
    }
}

enum Attempt {
    Read(Entry),
    Gone,
    Changed,
    OtherKind,
}

struct Content {
    length: u64,
    hash: FileHash,
}

enum CopyError {
    Stopped,
    Read(Errno),
    Write(Errno),
}

/// Zeros, to be hashed in the place of a hole.
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Hashes `expected` bytes of `source` from its start (fewer if it is shorter by then), writing them to `copy`. Holes are
/// not read, and neither they nor long runs of zeros are written.
fn hash(
    source: &OwnedFd,
    stat: &Stat,
    copy: Option<&OwnedFd>,
    buffer: &mut [u8],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Content, CopyError> {
    let expected = size_of(stat);
    let mut hasher = blake3::Hasher::new();
    let mut length = 0_u64;
    let mut written_to = 0_u64;
    let mut data = if has_holes(stat) { 0..0 } else { 0..expected };
    while length < expected {
        if stop() {
            return Err(CopyError::Stopped);
        }
        if length >= data.end {
            let next = next_data(source, length..expected).map_err(CopyError::Read)?;
            data = next.unwrap_or(expected..expected);
        }
        if length < data.start {
            let zeros = &ZEROS[..span(data.start - length)];
            hasher.update(zeros);
            length += zeros.len() as u64;
            continue;
        }
        let wanted = span(data.end - length).min(buffer.len());
        let got = read_at(source, length, &mut buffer[..wanted]).map_err(CopyError::Read)?;
        if got == 0 {
            break;
        }
        let bytes = &buffer[..got];
        hasher.update(bytes);
        if let Some(copy) = copy
            && !(got == CHUNK && *bytes == ZEROS)
        {
            write_all(copy, length, bytes).map_err(CopyError::Write)?;
            written_to = length + got as u64;
        }
        length += got as u64;
    }
    if written_to < length
        && let Some(copy) = copy
    {
        rustix::fs::ftruncate(copy, length).map_err(CopyError::Write)?;
    }
    Ok(Content {
        length,
        hash: FileHash(*hasher.finalize().as_bytes()),
    })
}

/// As much of a stretch as is taken at once.
fn span(length: u64) -> usize {
    usize::try_from(length).unwrap_or(CHUNK).min(CHUNK)
}

/// Whether the file takes less on disk than it is long; `st_blocks` counts 512 bytes (`stat(3type)`).
fn has_holes(stat: &Stat) -> bool {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size_of(stat)
}

fn read_at(source: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(source, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn write_all(copy: &OwnedFd, mut offset: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(copy, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn create(destination: BorrowedFd<'_>, path: &[u8], mode: Mode) -> Result<OwnedFd, CaptureError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(destination, path, flags, mode).map_err(|source| CaptureError::copy("create", path, source))
}

fn finish(copy: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    // A look is cheaper than a change, and mostly the umask took nothing away.
    if rustix::fs::fstat(copy)?.st_mode & 0o7777 != mode_of(stat).as_raw_mode() {
        rustix::fs::fchmod(copy, mode_of(stat))?;
    }
    rustix::fs::futimens(copy, &times(mtime(stat)))
}

fn mode_of(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o1777)
}

fn set_times(folder: BorrowedFd<'_>, path: &[u8], stat: &Stat) -> Result<(), Errno> {
    rustix::fs::utimensat(folder, path, &times(mtime(stat)), AtFlags::SYMLINK_NOFOLLOW)
}

fn mtime(stat: &Stat) -> Timespec {
    timespec(mtime_ns(stat))
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Whether a file looks as it did when the entry was made of it.
fn is_still(entry: &Entry, stat: &Stat) -> bool {
    let found = FileType::from_raw_mode(stat.st_mode);
    let is_of_kind = match entry.kind {
        EntryKind::File { size, hash: _ } => {
            found == FileType::RegularFile && size == size_of(stat) && entry.mode == stat.st_mode & 0o1777
        }
        EntryKind::Symlink { .. } => found == FileType::Symlink,
        EntryKind::Dir => false,
    };
    is_of_kind && entry.mtime_ns == mtime_ns(stat)
}

fn is_same(before: &Stat, after: &Stat) -> bool {
    before.st_size == after.st_size
        && (before.st_mtime, before.st_mtime_nsec) == (after.st_mtime, after.st_mtime_nsec)
        && (before.st_ctime, before.st_ctime_nsec) == (after.st_ctime, after.st_ctime_nsec)
}
