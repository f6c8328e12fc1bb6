//! Processes that don't outlive who started them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Has what the command starts be killed when the thread that starts it ends, also by a SIGKILL of its process (prctl(2),
/// `PR_SET_PDEATHSIG`). What it starts in turn is not.
pub fn killed_with_this_thread(command: &mut Command) -> &mut Command {
    let tie = || set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call; it touches no memory that another thread could have
    // left locked or half-written, and allocates nothing.
    unsafe { command.pre_exec(tie) }
}
