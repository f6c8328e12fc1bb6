//! How a build ended, from outcomes and outside reasons only.

use std::time::Duration;

use hm_plugin_protocol::{BuildStatus, CancelReason, Verdict};

use super::turn::millis;

/// What the verdict depends on: the first failure that counts, and the greatest outside reason that came before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    failed: bool,
    outside: Option<CancelReason>,
}

impl Tally {
    /// A step ended in a way that fails the build.
    pub(super) fn step_failed(&mut self) {
        self.failed = true;
    }

    /// Somebody outside wants the build to stop. What already failed stays failed: whoever then loses patience only
    /// hastens the end of a build whose result is known.
    pub(super) fn outside_reason(&mut self, reason: CancelReason) {
        if !self.failed {
            self.outside = self.outside.max(Some(reason));
        }
    }

    /// The exit codes are those of `hm run`.
    pub(super) fn verdict(self, took: Duration) -> Verdict {
        let (status, exit_code) = match (self.outside, self.failed) {
            (Some(CancelReason::Interrupt), _) => (BuildStatus::Canceled, 130),
            (Some(CancelReason::Terminate), _) => (BuildStatus::Canceled, 143),
            (Some(CancelReason::BuildTimeout), _) => (BuildStatus::TimedOut, 124),
            (Some(CancelReason::StepFailed), _) | (None, true) => (BuildStatus::Failed, 1),
            (None, false) => (BuildStatus::Passed, 0),
        };
        Verdict {
            status,
            exit_code,
            duration_ms: millis(took),
        }
    }
}
