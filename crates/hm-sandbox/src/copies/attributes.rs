//! Everything of a file but its name, and whether two have the same.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, SeekFrom, Stat, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr,
    fgetxattr_query, flistxattr, flistxattr_query, fsetxattr, fstat, ftruncate, futimens, ioctl_ficlone, readlinkat,
    seek, sendfile, utimensat,
};
use rustix::io::{Errno, pread};

use super::entries::{open_file, stat};
use crate::sys::{mode_of, times_of};

/// What is compared at a time.
const PIECE: usize = 128 << 10;

/// Gives an open file or folder owner, mode, extended attributes and modification time of another one. `stat` is the other
/// one's, from before its entries were touched.
pub(super) fn give(from: &OwnedFd, stat: &Stat, to: &OwnedFd) -> Result<(), Errno> {
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, mode_of(stat))?;
    // After the owner, whose change drops capabilities.
    for (name, value) in extended(from)? {
        fsetxattr(to, &name, &value, XattrFlags::empty())?;
    }
    futimens(to, &times_of(stat))
}

/// The same for what can't be opened.
pub(super) fn give_by_name(stat: &Stat, folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        chmodat(folder, name, mode_of(stat), AtFlags::empty())?;
    }
    utimensat(folder, name, &times_of(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies the content of a file to an empty one: shares its blocks where the file system can, and keeps holes.
pub(super) fn copy_content(from: &OwnedFd, size: u64, to: &OwnedFd) -> Result<(), Errno> {
    if size == 0 || ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut end = 0;
    loop {
        let mut start = match seek(from, SeekFrom::Data(end)) {
            Ok(start) => start,
            // Nothing but a hole is left (lseek(2)).
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        end = seek(from, SeekFrom::Hole(start))?;
        seek(to, SeekFrom::Start(start))?;
        while start < end {
            let count = usize::try_from(end - start).unwrap_or(usize::MAX).min(1 << 30);
            if sendfile(to, from, Some(&mut start), count)? == 0 {
                return Err(Errno::IO);
            }
        }
    }
    ftruncate(to, size)
}

/// Whether two folders have the same owner, mode, time and extended attributes.
pub(super) fn is_same_folder(one: &OwnedFd, of_one: &Stat, other: &OwnedFd) -> Result<bool, Errno> {
    Ok(has_same_stat(of_one, &fstat(other)?) && extended(one)? == extended(other)?)
}

/// Whether what two folders have under a name, both no folders, differs in nothing but links to it.
pub(super) fn is_same_entry(one: &OwnedFd, other: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    let [of_one, of_other] = [stat(one, name)?, stat(other, name)?];
    if !has_same_stat(&of_one, &of_other) || of_one.st_size != of_other.st_size || of_one.st_rdev != of_other.st_rdev {
        return Ok(false);
    }
    let kind = FileType::from_raw_mode(of_one.st_mode);
    if kind == FileType::RegularFile {
        let [one, other] = [open_file(one, name)?, open_file(other, name)?];
        return Ok(extended(&one)? == extended(&other)? && has_same_content(&one, &other)?);
    }
    Ok(kind != FileType::Symlink || readlinkat(one, name, Vec::new())? == readlinkat(other, name, Vec::new())?)
}

fn has_same_stat(one: &Stat, other: &Stat) -> bool {
    let told = |stat: &Stat| {
        (
            stat.st_mode,
            stat.st_uid,
            stat.st_gid,
            stat.st_mtime,
            stat.st_mtime_nsec,
        )
    };
    told(one) == told(other)
}

/// Times don't tell: a file system in memory keeps none of writes through a mapping.
fn has_same_content(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let mut pieces = [vec![0; PIECE], vec![0; PIECE]];
    let [of_one, of_other] = &mut pieces;
    let mut position = 0;
    loop {
        let piece = read_piece(one, of_one, position)?;
        if piece != read_piece(other, of_other, position)? {
            return Ok(false);
        }
        if piece.is_empty() {
            return Ok(true);
        }
        position += piece.len() as u64;
    }
}

/// Shorter than the buffer only at the end of the file.
fn read_piece<'a>(file: &OwnedFd, buffer: &'a mut [u8], position: u64) -> Result<&'a [u8], Errno> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match pread(file, rest, position + length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Extended attributes that belong to a file: not those of overlays, nor what the system labels files with.
fn extended(file: impl AsFd) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let mut names = match flistxattr_query(&file) {
        Ok(length) => vec![0; length],
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let length = flistxattr(&file, &mut names)?;
    names.truncate(length);
    let mut attributes = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_of_files(name)) {
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let mut value = vec![0; fgetxattr_query(&file, &name)?];
        let length = fgetxattr(&file, &name, &mut value)?;
        value.truncate(length);
        attributes.push((name, value));
    }
    attributes.sort();
    Ok(attributes)
}

fn is_of_files(name: &[u8]) -> bool {
    let begins = |prefix: &str| name.starts_with(prefix.as_bytes());
    let of_overlays = begins("user.overlay.") || begins("trusted.overlay.");
    (begins("user.") || begins("trusted.") || begins("system.posix_acl_") || name == b"security.capability")
        && !of_overlays
}
