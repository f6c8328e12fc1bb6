//! Signal masks and dispositions.

use std::mem::MaybeUninit;
use std::ptr;

use rustix::io::Errno;

pub(super) fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_all_signals() {
    let set = filled();
    // SAFETY: `set` is initialised; the old mask is not asked for. SIG_SETMASK with a valid set can't fail.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

pub(super) fn unblock_all_signals() {
    let set = empty();
    // SAFETY: as in `block_all_signals`.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// Gives every signal its default action; also those that a parent of this program had set to be ignored.
pub(crate) fn reset_dispositions() {
    // The kernel's structure of handler, flags, restorer and mask; all zero is the default action. The C library's
    // wrapper is of no use: it refuses the two signals that it has for itself.
    let action = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: `action` is as large as the kernel's structure on 64-bit machines, and the default action runs no
        // code. Signals that can't be changed fail, which is fine.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
    }
}

/// Waits for one of these blocked signals.
pub(crate) fn wait_for_signal(signals: &[libc::c_int]) -> libc::c_int {
    let mut set = empty();
    for signal in signals {
        // SAFETY: `set` is initialised; an unknown number fails and changes nothing.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    loop {
        // SAFETY: `set` is initialised and no information is asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn filled() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}
