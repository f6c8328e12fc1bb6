//! Outcomes in words.

use hm_plugin_protocol::{BuildStatus, CancelReason, SkipReason, StepStatus};

use super::text::one_line;

pub(super) fn step_status(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Passed => "passed",
        StepStatus::Cached => "cached",
        StepStatus::Failed => "failed",
        StepStatus::TimedOut => "timed out",
        StepStatus::Canceled => "canceled",
        StepStatus::Skipped => "skipped",
        StepStatus::Errored => "could not be run",
        StepStatus::Flaky => "passed after a failure (flaky)",
    }
}

pub(super) fn build_status(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Passed => "passed",
        BuildStatus::Failed => "failed",
        BuildStatus::Canceled => "canceled",
        BuildStatus::TimedOut => "timed out",
    }
}

pub(super) fn skip_reason(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Prerequisite {
            step_id: _,
            key,
            status,
        } => {
            format!("it needs {}, which {}", one_line(key), prerequisite(*status))
        }
        SkipReason::Stopped { reason } => cancel_reason(*reason).to_owned(),
    }
}

fn cancel_reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::StepFailed => "another step failed",
        CancelReason::BuildTimeout => "the build is over its budget",
        CancelReason::Terminate => "the build was told to end",
        CancelReason::Interrupt => "the build was interrupted",
    }
}

fn prerequisite(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Passed | StepStatus::Cached | StepStatus::Flaky => "passed",
        StepStatus::Failed => "failed",
        StepStatus::TimedOut => "timed out",
        StepStatus::Canceled => "was canceled",
        StepStatus::Skipped => "was skipped",
        StepStatus::Errored => "could not be run",
    }
}
