//! How steps and builds end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::StepId;

/// Why running work was told to stop. Ordered: only a greater reason replaces one that acts already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A step failed under fail-fast.
    StepFailed,
    /// The build's budget ran out.
    BuildTimeout,
    /// SIGTERM or SIGHUP.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Why a step never started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SkipReason {
    /// A prerequisite did not pass.
    Prerequisite {
        /// That prerequisite.
        step_id: StepId,
        /// Its key.
        key: String,
        /// How it ended.
        status: StepStatus,
    },
    /// The build was stopping.
    Stopped {
        /// What stopped it.
        reason: CancelReason,
    },
}

/// How a step ended, with what belongs to that end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepOutcome {
    /// Exit code 0, or an earlier result was used.
    Passed {
        /// An earlier result was used.
        cached: bool,
    },
    /// The command exited with something else than 0.
    Failed {
        /// Its exit code.
        exit_code: i32,
    },
    /// The step's budget ran out.
    TimedOut,
    /// It ran and was told to stop.
    Canceled(CancelReason),
    /// It never started.
    Skipped(SkipReason),
    /// The engine could not run it; the causes, outermost first.
    Errored {
        /// Outermost first.
        causes: Vec<String>,
        /// What helps, to be pasted.
        fixes: Vec<String>,
    },
}

/// The word for a step's end on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Ran, exit code 0.
    Passed,
    /// An earlier result was used.
    Cached,
    /// Exit code other than 0.
    Failed,
    /// Over its budget.
    TimedOut,
    /// Told to stop.
    Canceled,
    /// Never started.
    Skipped,
    /// The engine could not run it.
    Errored,
    /// Passed after a failure.
    Flaky,
}

/// The verdict on a build.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// Every step that counts passed.
    Passed,
    /// One that counts did not.
    Failed,
    /// The user stopped it.
    Canceled,
    /// Over its budget.
    TimedOut,
}
