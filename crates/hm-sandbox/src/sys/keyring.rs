//! Kernel keyrings (keyrings(7)).

/// `KEYCTL_JOIN_SESSION_KEYRING` (keyctl(2)).
const JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Leaves the caller's session keyring for a new, empty one. A kernel without keyrings has nothing to leave; whether it
/// worked is told for reports.
pub(crate) fn join_new_session_keyring() -> bool {
    // SAFETY: without a name, which is what the null pointer says, nothing is read.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    serial != -1
}
