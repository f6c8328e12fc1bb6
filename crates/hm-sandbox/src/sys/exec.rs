//! Starting the step's command in a child that shares memory with PID 1 until it executes (as vfork(2) does),
//! which saves the copy of the page tables.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Gid, Uid};

use super::clone::{SingleThread, exit_now};
use super::signal::{last_errno, unblock_all_signals};
use crate::error::Stage;
use crate::limits::Fallback;

/// Everything that the child needs, made beforehand: the child must not allocate.
#[derive(Debug)]
pub(crate) struct ExecPlan<'a> {
    /// Paths to try in turn.
    pub(crate) candidates: &'a [CString],
    pub(crate) argv: &'a [CString],
    pub(crate) env: &'a [CString],
    pub(crate) cwd: &'a CStr,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// `None` where groups can't be set (a user namespace with a single id).
    pub(crate) groups: Option<&'a [Gid]>,
    /// Control groups to join.
    pub(crate) doors: &'a [OwnedFd],
    pub(crate) fallback: &'a Fallback,
    /// The soft limit of open files.
    pub(crate) open_files: Option<u64>,
    pub(crate) stdio: [BorrowedFd<'a>; 3],
}

struct Shared<'a> {
    plan: &'a ExecPlan<'a>,
    argv: *const *const c_char,
    env: *const *const c_char,
    failure: Option<(Stage, Errno)>,
}

const STACK_SIZE: usize = 64 * 1024;

#[repr(align(16))]
struct Stack(#[expect(dead_code, reason = "only its address is used")] [MaybeUninit<u8>; STACK_SIZE]);

/// Starts the command in a new session without a controlling terminal, with no signal blocked. Returns when it was
/// executed, or with the reason why it could not be; the child is then gone.
pub(crate) fn exec_in_new_process(_proof: &SingleThread, plan: &ExecPlan<'_>) -> Result<Pid, (Stage, Errno)> {
    let argv = pointers(plan.argv);
    let env = pointers(plan.env);
    let mut shared = Shared {
        plan,
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        failure: None,
    };
    #[expect(
        clippy::large_stack_arrays,
        reason = "the main thread's stack has megabytes left, and a heap would be paged in"
    )]
    let mut stack = Stack([MaybeUninit::uninit(); STACK_SIZE]);
    // SAFETY: one past the end of `stack` is a valid pointer to take, and it is aligned to 16 bytes as the ABI asks.
    let top = unsafe { ptr::from_mut(&mut stack).cast::<u8>().add(STACK_SIZE) };
    // SAFETY: CLONE_VFORK suspends this process until the child has executed or exited, so `stack` and `shared` outlive
    // the child's use of them and are used by one side at a time; there is no other thread. The child only makes system calls.
    let pid = unsafe {
        libc::clone(
            run_child,
            top.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_mut(&mut shared).cast::<c_void>(),
        )
    };
    if pid == -1 {
        return Err((Stage::Execute, last_errno()));
    }
    let pid = Pid::from_raw(pid).ok_or((Stage::Execute, Errno::SRCH))?;
    // SAFETY: `shared` is alive; a volatile read, because the child wrote to it behind the compiler's back.
    let failure = unsafe { ptr::read_volatile(&raw const shared.failure) };
    match failure {
        None => Ok(pid),
        Some(failure) => {
            // Its end is certain; should it be reaped otherwise there is nothing to wait for.
            let _gone = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(failure)
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

extern "C" fn run_child(argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the `Shared` that `exec_in_new_process` keeps alive and does not touch meanwhile.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    let failure = become_command(shared);
    // SAFETY: a plain write to memory that the suspended parent owns.
    unsafe { ptr::write_volatile(&raw mut shared.failure, Some(failure)) };
    exit_now(127)
}

/// Returns only if it failed.
fn become_command(shared: &Shared<'_>) -> (Stage, Errno) {
    match prepare(shared.plan) {
        Ok(()) => (Stage::Execute, execute(shared)),
        Err(failure) => failure,
    }
}

fn prepare(plan: &ExecPlan<'_>) -> Result<(), (Stage, Errno)> {
    let identity = |errno| (Stage::Identity, errno);
    let stdio = |errno| (Stage::Stdio, errno);
    let limits = |errno| (Stage::Limits, errno);
    rustix::process::setsid().map_err(identity)?;
    // First, so that all that the command uses is counted, and its parent is not.
    for door in plan.doors {
        rustix::io::write(door, b"0").map_err(limits)?;
    }
    plan.fallback.take_on().map_err(limits)?;
    if let Some(count) = plan.open_files {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(maximum.map_or(count, |hard| hard.min(count)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).map_err(limits)?;
    }
    let [stdin, stdout, stderr] = plan.stdio;
    rustix::stdio::dup2_stdin(stdin).map_err(stdio)?;
    rustix::stdio::dup2_stdout(stdout).map_err(stdio)?;
    rustix::stdio::dup2_stderr(stderr).map_err(stdio)?;
    if let Some(groups) = plan.groups {
        rustix::thread::set_thread_groups(groups).map_err(identity)?;
    }
    rustix::thread::set_thread_res_gid(plan.gid, plan.gid, plan.gid).map_err(identity)?;
    rustix::thread::set_thread_res_uid(plan.uid, plan.uid, plan.uid).map_err(identity)?;
    rustix::process::chdir(plan.cwd).map_err(|errno| (Stage::WorkingDirectory, errno))?;
    unblock_all_signals();
    Ok(())
}

/// Tries the candidates as execvp(3) does: a missing one is passed over, a forbidden one is remembered.
fn execute(shared: &Shared<'_>) -> Errno {
    let mut result = Errno::NOENT;
    for candidate in shared.plan.candidates {
        // SAFETY: the path is NUL-terminated, argv and env are NULL-terminated arrays of NUL-terminated strings, all
        // alive until the parent goes on. Every other descriptor is close-on-exec.
        unsafe { libc::execve(candidate.as_ptr(), shared.argv, shared.env) };
        match last_errno() {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => result = Errno::ACCESS,
            errno => return errno,
        }
    }
    result
}
