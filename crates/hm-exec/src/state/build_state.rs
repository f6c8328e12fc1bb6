//! The state machine of a build.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use hm_pipeline_ir::{CachePolicy, Pipeline, PipelineGraph, Step, StepIndex};
use hm_plugin_protocol::{BuildRef, CancelReason, RunId, StepId};
use jiff::Timestamp;

use super::effect::{Effect, Timer};
use super::input::Input;
use super::lookup_turns::LookupTurns;
use super::ranks::{RankedQueue, longest_remaining};
use super::selection::Selection;
use super::slot::{Phase, Slot};
use super::turn::Turn;
use super::verdict::Tally;
use crate::root_images::RootImages;

/// What a build is to do and how.
#[derive(Clone, Debug)]
pub struct BuildSettings {
    /// The build.
    pub run_id: RunId,
    /// What it runs.
    pub pipeline: Arc<Pipeline>,
    /// Which of its steps.
    pub selection: Selection,
    /// Wall time of age zero.
    pub started_at: Timestamp,
    /// Number and names under which the build is known; gives `build_accepted`.
    pub accepted: Option<BuildRef>,
    /// How many steps may run at a time.
    pub parallelism: NonZeroUsize,
    /// How many steps may hold what a look-up takes, such as the lock of a key: while they are looked up, and from then
    /// until they start.
    pub open_lookups: NonZeroUsize,
    /// A failure leaves independent steps alone.
    pub keep_going: bool,
    /// Budget of the whole build.
    pub timeout: Option<Duration>,
    /// Runner of steps that name none.
    pub default_runner: String,
    /// What root steps boot from.
    pub images: RootImages,
}

/// The whole truth about a build that runs: no clock, no IO, no lock.
///
/// Every prerequisite edge is looked at once when its step ends, and a reason to stop costs one pass over the steps, of
/// which there are at most four: the cost of a build is linear in steps and edges (and `log` of the ready ones).
#[derive(Debug)]
pub struct BuildState {
    pub(super) settings: BuildSettings,
    pub(super) slots: Vec<Slot>,
    pub(super) remaining_path: Vec<u64>,
    pub(super) to_look_up: RankedQueue,
    pub(super) lookup_turns: LookupTurns,
    pub(super) ready: RankedQueue,
    pub(super) free_permits: usize,
    pub(super) not_ended: usize,
    pub(super) stopping: Option<CancelReason>,
    pub(super) tally: Tally,
    pub(super) chain_failed: Vec<bool>,
    /// Steps that ended and whose dependents have not been told.
    pub(super) to_tell: Vec<StepIndex>,
    pub(super) over: bool,
}

impl BuildState {
    /// A build that has not begun. `known` gives the time that a step took in earlier builds.
    pub fn new(settings: BuildSettings, known: &dyn Fn(StepIndex) -> Option<Duration>) -> Self {
        let graph = settings.pipeline.graph();
        let selection = &settings.selection;
        let count = |steps: &[StepIndex]| steps.iter().filter(|&&at| selection.contains(at)).count();
        let slots = graph.indices().map(|at| Slot {
            id: StepId::derive(settings.run_id, graph.step(at).key.as_str()),
            phase: Phase::Waiting,
            waiting_for: u32::try_from(graph.prerequisites(at).len()).unwrap_or(u32::MAX),
            open_children: u32::try_from(count(graph.children(at))).unwrap_or(u32::MAX),
            snapshot: None,
            cause: None,
            since: Duration::ZERO,
        });
        Self {
            slots: slots.collect(),
            remaining_path: longest_remaining(graph, selection, known),
            to_look_up: RankedQueue::default(),
            lookup_turns: LookupTurns::new(settings.open_lookups),
            ready: RankedQueue::default(),
            free_permits: settings.parallelism.get(),
            not_ended: selection.len(),
            stopping: None,
            tally: Tally::default(),
            chain_failed: vec![false; graph.chains().len()],
            to_tell: Vec::new(),
            over: false,
            settings,
        }
    }

    /// Whether all other steps that boot from what this one boots from have ended.
    pub fn is_last_child(&self, at: StepIndex) -> bool {
        let parent = self.graph().parent(at);
        parent.is_some_and(|parent| self.slots[parent.get()].open_children == 1)
    }

    /// Takes an input in and says what is to be done, by pushing it to `effects`. `now` is the age of the build and
    /// never goes back. Inputs after [`Effect::Finish`] do nothing.
    pub fn apply(&mut self, now: Duration, input: Input, effects: &mut Vec<Effect>) {
        if self.over {
            return;
        }
        let mut turn = Turn {
            state: self,
            now,
            effects,
        };
        match input {
            Input::Begin => turn.begin(),
            Input::LookedUp { step, answer } => turn.looked_up(step, answer),
            Input::Ended { step, end } => turn.attempt_ended(step, end),
            Input::TimerFired(Timer::Build) => turn.stop_from_outside(CancelReason::BuildTimeout),
            Input::TimerFired(Timer::Step(step)) => turn.budget_ran_out(step),
            Input::Cancel(reason) => turn.stop_from_outside(reason),
        }
        turn.tell_dependents();
        turn.start_ready();
        turn.start_lookups();
        turn.finish_if_done();
    }

    /// The id of the step in this build.
    pub fn step_id(&self, step: StepIndex) -> StepId {
        self.slots[step.get()].id
    }

    /// What the build is to do and how.
    pub fn settings(&self) -> &BuildSettings {
        &self.settings
    }

    pub(super) fn graph(&self) -> &PipelineGraph {
        self.settings.pipeline.graph()
    }

    pub(super) fn step(&self, at: StepIndex) -> &Step {
        self.graph().step(at)
    }

    pub(super) fn is_cacheable(&self, at: StepIndex) -> bool {
        is_cacheable(self.step(at))
    }
}

/// Whether the step's policy lets an earlier result stand in.
fn is_cacheable(step: &Step) -> bool {
    step.cache
        .as_ref()
        .is_some_and(|cache| cache.policy != CachePolicy::None)
}
