//! Opening what is closed to reading.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self as sys, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How folders are opened to be listed.
pub(crate) const OPEN_FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a file or folder of a layer. Who isn't root can't read a file of their own without the read bit: it is set for the
/// moment of opening.
pub(crate) fn open_readable(folder: BorrowedFd<'_>, name: &CStr, flags: OFlags, stat: &Stat) -> Result<OwnedFd, Errno> {
    match sys::openat(folder, name, flags, Mode::empty()) {
        // Only the owner may ask for NOATIME.
        Err(Errno::PERM) => sys::openat(folder, name, flags.difference(OFlags::NOATIME), Mode::empty()),
        Err(Errno::ACCESS) => {
            let mode = Mode::from_raw_mode(stat.st_mode);
            sys::chmodat(folder, name, mode | Mode::RWXU, AtFlags::empty())?;
            let opened = sys::openat(folder, name, flags, Mode::empty());
            sys::chmodat(folder, name, mode, AtFlags::empty())?;
            opened
        }
        other => other,
    }
}
