//! The state of a build as its events tell it.

use std::collections::HashMap;

use crate::event::{BuildEvent, BuildRef, PlanSummary};
use crate::executor::SnapshotRef;
use crate::ids::{RunId, StepId};
use crate::outcome::{BuildStatus, SkipReason, StepStatus};

/// A fold of [`BuildEvent`]s: what is known of a build after some of them.
///
/// It never fails: events about steps that were not queued, and events after a step's terminal one, change nothing.
/// Output is counted, not kept.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct BuildView {
    run_id: Option<RunId>,
    plan: Option<PlanSummary>,
    started_at: Option<String>,
    build: Option<BuildRef>,
    steps: Vec<StepView>,
    position: HashMap<StepId, usize>,
    counts: Counts,
    verdict: Option<Verdict>,
}

/// What is known of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepView {
    /// The step.
    pub id: StepId,
    /// Place in the order in which steps were queued, from 0.
    pub position: usize,
    /// Its key.
    pub key: String,
    /// Id of the chain it is on.
    pub chain_idx: u32,
    /// Key of the step it boots from.
    pub parent_key: Option<String>,
    /// Name for people.
    pub display_name: String,
    /// How far it is.
    pub phase: StepPhase,
    /// The runner that has or had it.
    pub runner: Option<String>,
    /// What it boots from, where it is a root.
    pub image: Option<String>,
    /// Cache key of the earlier result that is used.
    pub cache_tag: Option<String>,
    /// Lines of output so far.
    pub lines: u64,
    /// What it used.
    pub usage: Option<Usage>,
}

/// How far a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepPhase {
    /// It waits.
    Queued,
    /// A runner has it, or the log of an earlier result is being replayed.
    Running,
    /// It is over.
    Ended {
        /// How; never `Skipped`.
        status: StepStatus,
        /// Of the command.
        exit_code: i32,
        /// In milliseconds.
        duration_ms: u64,
        /// The snapshot it left.
        snapshot: Option<SnapshotRef>,
        /// Why the engine could not run it, outermost first, or why the command failed where that is known.
        causes: Vec<String>,
        /// What helps where the engine could not run it.
        fixes: Vec<String>,
    },
    /// It never started.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
}

/// What a step used, in the units of [`BuildEvent::StepUsage`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// The most memory in bytes: all of the step at once where it has limits and a control group counts, else the greatest
    /// resident set of one process.
    pub max_rss_bytes: u64,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
}

/// How many steps are how far; the sum is the number of steps queued so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// They wait.
    pub queued: u32,
    /// A runner has them.
    pub running: u32,
    /// Ran, exit code 0.
    pub passed: u32,
    /// An earlier result was used.
    pub cached: u32,
    /// Exit code other than 0.
    pub failed: u32,
    /// Over their budget.
    pub timed_out: u32,
    /// Told to stop.
    pub canceled: u32,
    /// Never started.
    pub skipped: u32,
    /// The engine could not run them.
    pub errored: u32,
    /// Passed after a failure.
    pub flaky: u32,
}

/// How a build ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The verdict.
    pub status: BuildStatus,
    /// Of the process.
    pub exit_code: i32,
    /// In milliseconds.
    pub duration_ms: u64,
}

impl BuildView {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &BuildEvent) {
        match event {
            BuildEvent::BuildStart {
                schema_version: _,
                run_id,
                plan,
                started_at,
            } => {
                self.run_id = Some(*run_id);
                self.plan = Some(plan.clone());
                self.started_at = Some(started_at.clone());
            }
            BuildEvent::BuildAccepted { build, watch_url: _ } => self.build = Some(build.clone()),
            BuildEvent::StepQueued {
                step_id,
                key,
                chain_idx,
                parent_key,
                display_name,
            } => {
                self.queue(StepView {
                    key: key.clone(),
                    chain_idx: *chain_idx,
                    parent_key: parent_key.clone(),
                    display_name: display_name.clone(),
                    ..StepView::blank(*step_id)
                });
            }
            BuildEvent::ImagePull { .. } => {}
            BuildEvent::StepStart { step_id, runner, image } => {
                self.advance(*step_id, StepPhase::Running);
                self.change(*step_id, |step| {
                    step.runner = Some(runner.clone());
                    step.image.clone_from(image);
                });
            }
            BuildEvent::StepLog { step_id, .. } => {
                self.change(*step_id, |step| step.lines += 1);
            }
            BuildEvent::StepCacheHit { step_id, key: _, tag } => {
                self.advance(*step_id, StepPhase::Running);
                self.change(*step_id, |step| step.cache_tag = Some(tag.clone()));
            }
            BuildEvent::StepSkipped {
                step_id,
                key: _,
                reason,
            } => {
                self.advance(*step_id, StepPhase::Skipped { reason: reason.clone() });
            }
            BuildEvent::StepUsage {
                step_id,
                cpu_ms,
                max_rss_bytes,
                read_bytes,
                write_bytes,
            } => {
                let usage = Usage {
                    cpu_ms: *cpu_ms,
                    max_rss_bytes: *max_rss_bytes,
                    read_bytes: *read_bytes,
                    write_bytes: *write_bytes,
                };
                self.change(*step_id, |step| step.usage = Some(usage));
            }
            BuildEvent::StepEnd {
                step_id,
                exit_code,
                duration_ms,
                snapshot,
                status,
                causes,
                fixes,
            } => {
                let phase = StepPhase::Ended {
                    status: *status,
                    exit_code: *exit_code,
                    duration_ms: *duration_ms,
                    snapshot: snapshot.clone(),
                    causes: causes.clone(),
                    fixes: fixes.clone(),
                };
                self.advance(*step_id, phase);
            }
            // What it says is in the events of the steps.
            BuildEvent::ChainFailed { .. } => {}
            BuildEvent::BuildEnd {
                exit_code,
                duration_ms,
                status,
            } => {
                self.verdict = Some(Verdict {
                    status: *status,
                    exit_code: *exit_code,
                    duration_ms: *duration_ms,
                });
            }
        }
    }

    /// The build; absent before `build_start`.
    pub fn run_id(&self) -> Option<RunId> {
        self.run_id
    }

    /// Size of the build; absent before `build_start`.
    pub fn plan(&self) -> Option<&PlanSummary> {
        self.plan.as_ref()
    }

    /// When it started, RFC 3339 in UTC; absent before `build_start`.
    pub fn started_at(&self) -> Option<&str> {
        self.started_at.as_deref()
    }

    /// The build as the backend knows it; absent before `build_accepted`.
    pub fn build(&self) -> Option<&BuildRef> {
        self.build.as_ref()
    }

    /// All steps queued so far, in that order.
    pub fn steps(&self) -> &[StepView] {
        &self.steps
    }

    /// One step.
    pub fn step(&self, id: StepId) -> Option<&StepView> {
        self.position.get(&id).map(|at| &self.steps[*at])
    }

    /// How many steps are how far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How the build ended; absent while it runs.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn queue(&mut self, mut step: StepView) {
        if !self.position.contains_key(&step.id) {
            step.position = self.steps.len();
            *self.counts.of(&step.phase) += 1;
            self.position.insert(step.id, step.position);
            self.steps.push(step);
        }
    }

    fn advance(&mut self, id: StepId, phase: StepPhase) {
        let Some(step) = self.position.get(&id).map(|at| &mut self.steps[*at]) else {
            return;
        };
        if !step.phase.is_terminal() {
            *self.counts.of(&step.phase) -= 1;
            *self.counts.of(&phase) += 1;
            step.phase = phase;
        }
    }

    fn change(&mut self, id: StepId, change: impl FnOnce(&mut StepView)) {
        if let Some(at) = self.position.get(&id) {
            change(&mut self.steps[*at]);
        }
    }
}

impl StepView {
    fn blank(id: StepId) -> Self {
        Self {
            id,
            position: 0,
            key: String::new(),
            chain_idx: 0,
            parent_key: None,
            display_name: String::new(),
            phase: StepPhase::Queued,
            runner: None,
            image: None,
            cache_tag: None,
            lines: 0,
            usage: None,
        }
    }
}

impl StepPhase {
    /// Whether the step is over.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Ended { .. } | Self::Skipped { .. } => true,
        }
    }

    /// The word for the step's end; absent while it is not over.
    pub fn status(&self) -> Option<StepStatus> {
        match self {
            Self::Queued | Self::Running => None,
            Self::Ended { status, .. } => Some(*status),
            Self::Skipped { .. } => Some(StepStatus::Skipped),
        }
    }
}

impl Counts {
    /// All steps.
    pub fn total(&self) -> u32 {
        let Self {
            queued,
            running,
            passed,
            cached,
            failed,
            timed_out,
            canceled,
            skipped,
            errored,
            flaky,
        } = *self;
        queued + running + passed + cached + failed + timed_out + canceled + skipped + errored + flaky
    }

    fn of(&mut self, phase: &StepPhase) -> &mut u32 {
        match phase {
            StepPhase::Queued => &mut self.queued,
            StepPhase::Running => &mut self.running,
            StepPhase::Skipped { .. } => &mut self.skipped,
            StepPhase::Ended { status, .. } => match status {
                StepStatus::Passed => &mut self.passed,
                StepStatus::Cached => &mut self.cached,
                StepStatus::Failed => &mut self.failed,
                StepStatus::TimedOut => &mut self.timed_out,
                StepStatus::Canceled => &mut self.canceled,
                StepStatus::Skipped => &mut self.skipped,
                StepStatus::Errored => &mut self.errored,
                StepStatus::Flaky => &mut self.flaky,
            },
        }
    }
}
