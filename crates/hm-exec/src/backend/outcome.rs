//! How a build ended, or why there was none.

use std::error::Error;
use std::time::Duration;

use hm_plugin_protocol::{BuildStatus, RunId};
use hm_vm::SharedError;

use super::preflight::Rejection;
use crate::state::UnknownStep;

/// How a build ended. A build that failed is an outcome and not an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildOutcome {
    /// The build.
    pub run_id: RunId,
    /// The verdict.
    pub status: BuildStatus,
    /// What the process is to exit with: 0 passed, 1 failed, 124 timed out, 130 or 143 canceled.
    pub exit_code: i32,
    /// From start to end.
    pub duration: Duration,
    /// What went wrong while cleaning up, each with its causes. The verdict stands.
    pub leftovers: Vec<String>,
}

/// Why a backend could not start a build. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The pipeline asks for what the backend doesn't offer.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A step was asked for that the pipeline doesn't have.
    #[error(transparent)]
    UnknownStep(#[from] UnknownStep),
    /// The working tree could not be captured.
    #[error("can't capture the working tree")]
    Workspace(#[source] Box<dyn Error + Send + Sync>),
    /// The store could not take the copy of the working tree.
    #[error("can't keep a copy of the working tree")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// [`super::RunRequest::stop_starting`] was cancelled.
    #[error("the build was stopped before it began")]
    Stopped,
    /// The journal could not be made.
    #[error("can't start a journal for the build")]
    Journal(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a build that had started has no verdict. All of it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its journal could not be written.
    #[error("can't write the build's journal")]
    Journal(#[source] SharedError),
    /// The task that runs the build died.
    #[error("the build's dispatcher died")]
    Dispatcher(#[source] Box<dyn Error + Send + Sync>),
    /// [`super::Control::wait`] had its answer before.
    #[error("the build's end was given out before")]
    AlreadyWaited,
}
