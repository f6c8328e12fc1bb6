//! `mount_setattr(2)`.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::signal::last_errno;

/// Makes a mount that is not attached yet, and everything below it, read-only.
pub(crate) fn make_read_only(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    set(mount, libc::MOUNT_ATTR_RDONLY)
}

/// Keeps device nodes on a mount that is not attached yet, and on everything below it, from being used, and set-user-id
/// programs there from gaining anything.
pub(crate) fn forbid_devices(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    set(mount, libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSUID)
}

fn set(mount: BorrowedFd<'_>, attribute: u64) -> Result<(), Errno> {
    // SAFETY: mount_attr consists of integers, for which zero is a valid value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = attribute;
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is NUL-terminated and `attributes` has the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
