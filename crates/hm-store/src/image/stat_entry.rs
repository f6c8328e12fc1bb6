//! What `lstat(2)` says of a file, in a form to be hashed.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

/// Which of a file's times count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Times {
    /// The time of the last change of the content.
    Modification,
    /// That, and the time of the last change of anything about the file, which nobody can set back.
    All,
}

/// Adds name, type, mode, owners, size, times, device number and link target of an entry; `None` when it is gone.
pub(super) fn hash_entry(
    hasher: &mut blake3::Hasher,
    folder: impl AsFd,
    name: &[u8],
    times: Times,
) -> Result<Option<Stat>, Errno> {
    let folder = folder.as_fd();
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
    hasher
        .update(&stat.st_mode.to_le_bytes())
        .update(&stat.st_uid.to_le_bytes())
        .update(&stat.st_gid.to_le_bytes());
    hasher
        .update(&stat.st_mtime.to_le_bytes())
        .update(&stat.st_mtime_nsec.to_le_bytes());
    if times == Times::All {
        hasher
            .update(&stat.st_ctime.to_le_bytes())
            .update(&stat.st_ctime_nsec.to_le_bytes());
    }
    if kind == FileType::Symlink {
        let target = rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes();
        hasher.update(&(target.len() as u64).to_le_bytes()).update(&target);
    } else if kind != FileType::Directory {
        // A folder's size depends on the file system and on its past.
        hasher
            .update(&stat.st_size.to_le_bytes())
            .update(&stat.st_rdev.to_le_bytes());
    }
    Ok(Some(stat))
}

/// The names in a folder, sorted.
pub(super) fn sorted_names(folder: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
