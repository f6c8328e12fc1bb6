//! What the state knows of one step.

use std::time::Duration;

use hm_plugin_protocol::{CancelReason, SkipReason, SnapshotRef, StepId, StepOutcome, StepStatus};

/// Where a step is between queued and ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Prerequisites are missing.
    Waiting,
    /// It waits for its turn to ask the cache.
    ToLookUp,
    /// The cache is being asked.
    LookingUp,
    /// The cache is being asked, but the answer no longer matters.
    LookupStopping,
    /// It waits for a permit. What its look-up holds, such as the lock of its key, stays held.
    Ready,
    /// A runner has it.
    Running,
    /// A runner has it and was told to stop it.
    Stopping(StopCause),
    /// Terminal.
    Ended(Ending),
}

/// Why a running step was told to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopCause {
    /// Its own budget ran out.
    Budget,
    /// The build stops.
    Build(CancelReason),
}

/// What dependents have to know of an ended step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Dependents may run.
    Good,
    /// Failed softly: dependents may run, but there is a snapshot to boot from only if one was left.
    Soft(StepStatus),
    /// Dependents are skipped, and say this.
    Bad(SkipReason),
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) id: StepId,
    pub(super) phase: Phase,
    /// Prerequisites that have not ended.
    pub(super) waiting_for: u32,
    /// Steps that boot from this one's snapshot and have not ended.
    pub(super) open_children: u32,
    /// What others can boot from, until nobody needs it any more.
    pub(super) snapshot: Option<SnapshotRef>,
    /// Why its command failed, where more is known than the exit code.
    pub(super) cause: Option<String>,
    /// Age of the build when the step was looked up or started.
    pub(super) since: Duration,
}

/// The word for an outcome on the wire.
pub(super) fn status_of(outcome: &StepOutcome) -> StepStatus {
    match outcome {
        StepOutcome::Passed { cached: false } => StepStatus::Passed,
        StepOutcome::Passed { cached: true } => StepStatus::Cached,
        StepOutcome::Failed { .. } => StepStatus::Failed,
        StepOutcome::TimedOut => StepStatus::TimedOut,
        StepOutcome::Canceled(_) => StepStatus::Canceled,
        StepOutcome::Skipped(_) => StepStatus::Skipped,
        StepOutcome::Errored { .. } => StepStatus::Errored,
    }
}

/// What `step_end` gives as exit code: of the command where it ended by itself, 124 over its budget, 125 where the
/// engine could not run it, 128 + the signal that the reason stands for where it was told to stop.
pub(super) fn exit_code_of(outcome: &StepOutcome) -> i32 {
    match outcome {
        StepOutcome::Passed { .. } => 0,
        StepOutcome::Failed { exit_code } => *exit_code,
        StepOutcome::TimedOut => 124,
        StepOutcome::Canceled(CancelReason::Interrupt) => 130,
        StepOutcome::Canceled(CancelReason::Terminate | CancelReason::BuildTimeout | CancelReason::StepFailed) => 143,
        StepOutcome::Skipped(_) => 1,
        StepOutcome::Errored { .. } => 125,
    }
}
