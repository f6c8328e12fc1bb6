//! Making, reaping and ending processes.

use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use super::signal::last_errno;
use crate::request::Usage;

/// Namespaces for a new process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CloneFlags(u64);

impl CloneFlags {
    /// A user namespace only.
    pub(crate) const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// A plain copy of the process.
    pub(crate) const NONE: Self = Self(0);
    /// A mount namespace only.
    pub(crate) const MOUNTS: Self = Self(libc::CLONE_NEWNS as u64);
    /// What every step has for itself.
    pub(crate) const STEP: Self = Self(
        libc::CLONE_NEWNS as u64
            | libc::CLONE_NEWPID as u64
            | libc::CLONE_NEWUTS as u64
            | libc::CLONE_NEWIPC as u64
            | libc::CLONE_NEWCGROUP as u64,
    );
    /// A network namespace only.
    pub(crate) const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    /// A network namespace in a new user namespace.
    pub(crate) const NETWORK_AND_USERS: Self = Self(libc::CLONE_NEWNET as u64 | libc::CLONE_NEWUSER as u64);
    /// What ends with its first process, and its mounts.
    pub(crate) const HOLDER: Self = Self(libc::CLONE_NEWPID as u64 | libc::CLONE_NEWNS as u64);
    /// [`Self::STEP`] and a network namespace.
    pub(crate) const STEP_WITHOUT_NETWORK: Self = Self(Self::STEP.0 | libc::CLONE_NEWNET as u64);
}

/// Where clone3(2) returned.
#[derive(Debug)]
pub(crate) enum Cloned {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// Shows that the process has one thread. In a clone of a process with more, locks that another thread holds would stay
/// locked for ever.
#[derive(Debug)]
pub(crate) struct SingleThread(());

impl SingleThread {
    /// Looks at the threads of this process. Whoever holds the value must make none afterwards, which no code that runs
    /// in a launcher does.
    pub(crate) fn verify() -> Result<Self, Errno> {
        let tasks = std::fs::read_dir("/proc/self/task").map_err(|_| Errno::NOENT)?;
        if tasks.count() == 1 {
            Ok(Self(()))
        } else {
            Err(Errno::BUSY)
        }
    }
}

/// unshare(2).
pub(crate) fn unshare(_proof: &SingleThread, flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the flags that callers pass are of namespaces; with one thread nobody else shares anything with it.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// clone3(2) with a copy of the address space, as fork(2) has.
pub(crate) fn clone_process(_proof: &SingleThread, flags: CloneFlags) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all fields of clone_args are integers, for which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.0 | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: args is a valid clone_args of the size that is passed, pidfd outlives the call, and without CLONE_VM
    // the only thread goes on in the child on its own copy of everything.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut args),
            size_of::<libc::clone_args>(),
        )
    };
    match result {
        -1 => Err(last_errno()),
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
            // SAFETY: the kernel stored a new descriptor that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

/// wait4(2) without waiting. `None`: it still runs.
pub(crate) fn reap(pid: Pid) -> Result<Option<Usage>, Errno> {
    let mut status = 0;
    // SAFETY: rusage consists of integers, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for writes during the call.
    let result = unsafe {
        libc::wait4(
            pid.as_raw_nonzero().get(),
            &raw mut status,
            libc::WNOHANG,
            &raw mut usage,
        )
    };
    match result {
        -1 => Err(last_errno()),
        0 => Ok(None),
        _ => Ok(Some(Usage {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            max_rss_bytes: unsigned(usage.ru_maxrss) * 1024,
            read_bytes: unsigned(usage.ru_inblock) * 512,
            write_bytes: unsigned(usage.ru_oublock) * 512,
        })),
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(unsigned(time.tv_sec)) + Duration::from_micros(unsigned(time.tv_usec))
}

fn unsigned(value: libc::c_long) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// _exit(2): no destructors, no exit handlers, as is right in a process that was cloned and not executed.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}
