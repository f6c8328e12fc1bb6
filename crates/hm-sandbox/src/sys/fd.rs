//! File descriptors as a set.

use std::os::fd::RawFd;

use rustix::io::Errno;

use super::signal::last_errno;

/// Closes every descriptor of the process but these (`close_range(2)`). Owners of the closed ones must
/// never be dropped or used again, as in a process that has none yet or that ends with [`super::exit_now`].
pub(crate) fn close_all_except(keep: &[RawFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first = 0;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: takes no pointers; the caller answers for the owners of the descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
