//! Landlock's scopes (landlock(7)), of which a step in the host's network needs one.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::signal::last_errno;

/// `LANDLOCK_CREATE_RULESET_VERSION`
const ASK_VERSION: u32 = 1;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`
const SCOPE_ABSTRACT_SOCKETS: u64 = 1;
/// The version that has scopes (Linux 6.12).
const VERSION_WITH_SCOPES: libc::c_long = 6;

/// `struct landlock_ruleset_attr`
#[repr(C)]
struct Ruleset {
    file_access: u64,
    net_access: u64,
    scoped: u64,
}

/// Whether [`scope_abstract_sockets`] can work.
pub(crate) fn can_scope_abstract_sockets() -> bool {
    // SAFETY: with this flag the kernel takes a null pointer and no size, and returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Ruleset>(),
            0_usize,
            ASK_VERSION,
        )
    };
    version >= VERSION_WITH_SCOPES
}

/// Keeps this process, and all it starts, from abstract sockets that others made. Needs `no_new_privs`.
pub(crate) fn scope_abstract_sockets() -> Result<(), Errno> {
    let ruleset = Ruleset {
        file_access: 0,
        net_access: 0,
        scoped: SCOPE_ABSTRACT_SOCKETS,
    };
    // SAFETY: the pointer is to a structure of the size that is passed.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size_of::<Ruleset>(),
            0_u32,
        )
    };
    if fd == -1 {
        return Err(last_errno());
    }
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel made a new descriptor that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: takes no pointers.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0_u32) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
