//! What the build is told.

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{CancelReason, SnapshotRef};

use super::effect::Timer;

/// Something that happened outside of the state. Each comes with its time, see [`super::BuildState::apply`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The build begins; the first input, given once.
    Begin,
    /// The answer to [`super::Effect::Lookup`]; exactly one for each.
    LookedUp {
        /// The step.
        step: StepIndex,
        /// What the cache said.
        answer: CacheAnswer,
    },
    /// The answer to [`super::Effect::Start`]; exactly one for each, when nothing of the step is left running.
    Ended {
        /// The step.
        step: StepIndex,
        /// How its attempt ended.
        end: AttemptEnd,
    },
    /// An armed timer ran out. One of a step that has ended is ignored.
    TimerFired(Timer),
    /// Somebody outside wants the build to stop. [`CancelReason::StepFailed`] is not theirs to give and is ignored.
    Cancel(CancelReason),
}

/// What a look-up in the cache came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CacheAnswer {
    /// An earlier result is used.
    Hit {
        /// The cache key it stands under.
        tag: String,
        /// The snapshot that it comes with.
        snapshot: Option<SnapshotRef>,
    },
    /// The step has to run.
    Miss,
    /// The look-up was told to stop and did.
    Stopped,
    /// The look-up itself failed; the causes, outermost first.
    Errored {
        /// Outermost first.
        causes: Vec<String>,
        /// What helps, to be pasted.
        fixes: Vec<String>,
    },
}

/// How one attempt at a step ended, as its runner reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// The command ended by itself.
    Exited {
        /// 128 + n for an end by signal n.
        exit_code: i32,
        /// Why it failed, where more is known than the exit code.
        cause: Option<String>,
        /// The snapshot it left, which others can boot from.
        snapshot: Option<SnapshotRef>,
    },
    /// It ended because it was told to.
    Stopped,
    /// The runner could not do its job; the causes, outermost first.
    Errored {
        /// Outermost first.
        causes: Vec<String>,
        /// What helps, to be pasted.
        fixes: Vec<String>,
    },
}
