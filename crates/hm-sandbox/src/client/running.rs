//! A step that runs.

use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::connection::{Connection, Ended};
use crate::error::{SandboxError, SetupError, Stage};
use crate::protocol::{Outcome, encode_control};
use crate::request::{ExitReport, ExitStatus, Owner};

/// A step that was started. Dropping it before its end was awaited kills it.
#[derive(Debug)]
pub struct Running {
    control: StepControl,
    ended: Option<oneshot::Receiver<Ended>>,
    owner: Owner,
}

/// Signals a step; may be kept beside [`Running::wait`]. It does nothing to a step that has ended.
#[derive(Debug, Clone)]
pub struct StepControl {
    connection: Arc<Connection>,
    id: u64,
}

impl StepControl {
    /// Sends SIGTERM, and SIGCONT, to the step's process group.
    pub async fn terminate(&self) -> Result<(), SandboxError> {
        self.connection.send(&encode_control(self.id, false), &[]).await
    }

    /// Kills everything in the step's namespaces.
    pub async fn kill(&self) -> Result<(), SandboxError> {
        self.connection.send(&encode_control(self.id, true), &[]).await
    }
}

impl Running {
    pub(super) fn new(connection: Arc<Connection>, id: u64, ended: oneshot::Receiver<Ended>, owner: Owner) -> Self {
        Self {
            control: StepControl { connection, id },
            ended: Some(ended),
            owner,
        }
    }

    /// A handle to signal it.
    pub fn control(&self) -> StepControl {
        self.control.clone()
    }

    /// Sends SIGTERM, and SIGCONT, to the step's process group.
    pub async fn terminate(&self) -> Result<(), SandboxError> {
        self.control.terminate().await
    }

    /// Kills everything in the step's namespaces.
    pub async fn kill(&self) -> Result<(), SandboxError> {
        self.control.kill().await
    }

    /// Waits until nothing of the step is left: no process, no mount, and nobody who holds its output streams. It may
    /// be dropped and called again.
    ///
    /// # Errors
    /// What kept the command from running; [`SandboxError::step_exit_code`] tells the command's own faults from those
    /// of the machine.
    pub async fn wait(&mut self) -> Result<ExitReport, SandboxError> {
        let ended = self.ended.as_mut().ok_or(SandboxError::AlreadyEnded)?;
        let result = ended.await;
        self.ended = None;
        let Ended {
            outcome,
            usage,
            out_of_memory,
            out_of_pids,
        } = result.map_err(|_closed| SandboxError::LauncherGone)?;
        let status = match outcome {
            Outcome::Code(code) => ExitStatus::Code(code),
            Outcome::Signal(signal) => ExitStatus::Signal(signal),
            // PID 1 can only be killed from outside.
            Outcome::Silent => ExitStatus::Signal(libc::SIGKILL),
            Outcome::Failed(error) => return Err(setup_error(error, self.owner)),
            Outcome::Applied { .. } | Outcome::Ready(_) | Outcome::Unmapped => return Err(SandboxError::Malformed),
        };
        Ok(ExitReport {
            status,
            usage,
            out_of_memory,
            out_of_pids,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_some() {
            // If there is no room at once the launcher is behind by thousands of requests; the step then ends with it.
            let _full = self.control.connection.try_send(&encode_control(self.control.id, true));
        }
    }
}

pub(super) fn setup_error(error: SetupError, owner: Owner) -> SandboxError {
    let SetupError { stage, errno, path } = error;
    let source = errno.into();
    match (stage, errno) {
        (Stage::Execute, Errno::TOOBIG) => SandboxError::ArgumentsTooLarge { source },
        (Stage::Execute, Errno::NOENT | Errno::NOTDIR) => SandboxError::CommandNotFound { program: path },
        (Stage::Execute, Errno::ACCESS | Errno::NOEXEC | Errno::PERM | Errno::ISDIR | Errno::LOOP) => {
            SandboxError::CommandNotExecutable { program: path, source }
        }
        (Stage::WorkingDirectory, _) => SandboxError::WorkingDirectory { path, source },
        // The ids are not in the machine's user namespace.
        (Stage::Identity | Stage::ApplyTarget, Errno::INVAL) if (owner.uid, owner.gid) != (0, 0) => {
            SandboxError::Identity {
                uid: owner.uid,
                gid: owner.gid,
                source,
            }
        }
        (Stage::Record, Errno::STALE) => SandboxError::ForbiddenDevice { path },
        (Stage::OverlayTrial, _) => SandboxError::StoreUnfit { source },
        (Stage::HostRoot, _) => SandboxError::HostRootUnavailable { source },
        _ => SandboxError::Setup { stage, path, source },
    }
}
