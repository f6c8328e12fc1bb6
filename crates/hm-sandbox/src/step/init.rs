//! PID 1 while the command runs.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait};

use crate::request::ExitStatus;
use crate::sys::wait_for_signal;

/// Reaps what ends, passes SIGTERM on to the command's process group, and returns when the command has ended. All
/// signals must be blocked.
pub(super) fn supervise(command: Pid) -> Result<ExitStatus, Errno> {
    loop {
        if let Some(status) = reap_until(command)? {
            return Ok(status);
        }
        if wait_for_signal(&[libc::SIGCHLD, libc::SIGTERM]) == libc::SIGTERM {
            terminate(command);
        }
    }
}

fn reap_until(command: Pid) -> Result<Option<ExitStatus>, Errno> {
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == command {
            let signal = status.terminating_signal().map(ExitStatus::Signal);
            let code = status.exit_status().map(ExitStatus::Code);
            return signal.or(code).map(Some).ok_or(Errno::IO);
        }
    }
    Ok(None)
}

/// A stopped group gets to see the signal only when it goes on. A group that is gone needs none.
fn terminate(command: Pid) {
    for signal in [Signal::TERM, Signal::CONT] {
        let _gone = kill_process_group(command, signal);
    }
}
