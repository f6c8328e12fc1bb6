//! What the build wants done.

use std::time::Duration;

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, SnapshotRef, Verdict};

/// Something to do, in the order given.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Append this event to the journal.
    Append(BuildEvent),
    /// Ask the cache about the step; takes no permit.
    Lookup {
        /// The step.
        step: StepIndex,
        /// What it would boot from, where it has a parent.
        parent_snapshot: Option<SnapshotRef>,
        /// Steps that boot from its snapshot are still to come: a result without one is of no use.
        keep_snapshot: bool,
    },
    /// Copy the log of the earlier result that the step uses into this build's journal.
    Replay(StepIndex),
    /// The step was looked up and won't run: let go of what its look-up holds.
    Abandon(StepIndex),
    /// Run the step; it holds a permit until its [`super::Input::Ended`].
    Start {
        /// The step.
        step: StepIndex,
        /// What it boots from, where it has a parent.
        parent_snapshot: Option<SnapshotRef>,
        /// Steps that boot from its snapshot are still to come.
        keep_snapshot: bool,
        /// Such a step comes even where this one fails.
        keep_when_failed: bool,
    },
    /// Tell a look-up or a running step to stop. Given once for each.
    Stop(StepIndex),
    /// Wake the state when the build is this old.
    ArmTimer {
        /// Which timer.
        timer: Timer,
        /// Age of the build, not a distance from this input.
        at: Duration,
    },
    /// No further step boots from the snapshot of this one.
    ReleaseSnapshot {
        /// The step that left it.
        step: StepIndex,
        /// It.
        snapshot: SnapshotRef,
    },
    /// The build is over; the last effect, given once, after the event that says so.
    Finish(Verdict),
}

/// A wake-up that the state asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The budget of the build.
    Build,
    /// The budget of a step.
    Step(StepIndex),
}
