//! What one input does to the state.

use std::sync::Arc;
use std::time::Duration;

use hm_pipeline_ir::{Chain, PipelineGraph, StepIndex, display_name};
use hm_plugin_protocol::{BuildEvent, CancelReason, PlanSummary, SCHEMA_VERSION, SkipReason, SnapshotRef, StepOutcome};
use jiff::{SignedDuration, Timestamp};

use super::build_state::BuildState;
use super::effect::{Effect, Timer};
use super::input::AttemptEnd;
use super::slot::{Ending, Phase, Slot, StopCause, exit_code_of, status_of};

/// One input being worked in.
pub(super) struct Turn<'a> {
    pub(super) state: &'a mut BuildState,
    pub(super) now: Duration,
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub(super) fn begin(&mut self) {
        let pipeline = Arc::clone(&self.state.settings.pipeline);
        self.announce_build();
        if let Some(at) = self.state.settings.timeout {
            self.effects.push(Effect::ArmTimer {
                timer: Timer::Build,
                at,
            });
        }
        for at in pipeline.graph().indices() {
            if self.state.settings.selection.contains(at) {
                self.append(queued(&self.state.slots, pipeline.graph(), at));
            }
        }
        for at in pipeline.graph().indices() {
            if self.state.settings.selection.contains(at) && self.state.slots[at.get()].waiting_for == 0 {
                self.become_runnable(at);
            }
        }
    }

    fn announce_build(&mut self) {
        let settings = &self.state.settings;
        let graph = settings.pipeline.graph();
        let has_steps = |chain: &&Chain| chain.steps.iter().any(|&at| settings.selection.contains(at));
        let start = BuildEvent::BuildStart {
            schema_version: SCHEMA_VERSION.to_owned(),
            run_id: settings.run_id,
            plan: PlanSummary {
                step_count: u32::try_from(settings.selection.len()).unwrap_or(u32::MAX),
                chain_count: u32::try_from(graph.chains().iter().filter(has_steps).count()).unwrap_or(u32::MAX),
                default_runner: settings.default_runner.clone(),
            },
            started_at: settings.started_at.to_string(),
        };
        let accepted = settings.accepted.clone();
        self.append(start);
        if let Some(build) = accepted {
            self.append(BuildEvent::BuildAccepted {
                build,
                watch_url: String::new(),
            });
        }
    }

    /// Nothing is missing any more for the step to go on.
    fn become_runnable(&mut self, at: StepIndex) {
        if let Some(reason) = self.state.stopping.filter(|&reason| !self.survives(at, reason)) {
            self.skip(at, SkipReason::Stopped { reason });
        } else if self.state.is_cacheable(at) {
            self.state.slots[at.get()].phase = Phase::ToLookUp;
            self.state.to_look_up.push(at, self.state.remaining_path[at.get()]);
        } else {
            self.become_ready(at);
        }
    }

    pub(super) fn become_ready(&mut self, at: StepIndex) {
        self.state.slots[at.get()].phase = Phase::Ready;
        self.state.ready.push(at, self.state.remaining_path[at.get()]);
    }

    /// Gives permits to ready steps while there are both.
    pub(super) fn start_ready(&mut self) {
        while self.state.free_permits > 0 {
            let Some(at) = self.state.ready.pop() else { return };
            if self.state.slots[at.get()].phase == Phase::Ready {
                self.start(at);
            }
        }
    }

    fn start(&mut self, at: StepIndex) {
        self.state.free_permits -= 1;
        if self.state.is_cacheable(at) {
            self.state.lookup_turns.let_go();
        }
        let slot = &mut self.state.slots[at.get()];
        slot.phase = Phase::Running;
        slot.since = self.now;
        let (step_id, keep_snapshot) = (slot.id, slot.open_children > 0);
        let settings = &self.state.settings;
        let step = self.state.step(at);
        let is_root = self.state.graph().parent(at).is_none();
        let event = BuildEvent::StepStart {
            step_id,
            runner: step.runner.as_ref().unwrap_or(&settings.default_runner).clone(),
            image: is_root.then(|| settings.images.of(&settings.pipeline, at).to_owned()),
        };
        let budget = step
            .timeout_seconds
            .map(|seconds| Duration::from_secs(u64::from(seconds.get())));
        let keep_when_failed = keep_snapshot && self.has_child_after_failure(at);
        self.append(event);
        if let Some(budget) = budget {
            let at_age = self.now.saturating_add(budget);
            self.effects.push(Effect::ArmTimer {
                timer: Timer::Step(at),
                at: at_age,
            });
        }
        let parent_snapshot = self.parent_snapshot(at);
        self.effects.push(Effect::Start {
            step: at,
            parent_snapshot,
            keep_snapshot,
            keep_when_failed,
        });
    }

    /// Whether a step would boot from this one's snapshot even where this one fails.
    fn has_child_after_failure(&self, at: StepIndex) -> bool {
        let soft = self.state.step(at).allow_failure;
        let mut children = self.state.graph().children(at).iter();
        children.any(|&child| {
            self.state.settings.selection.contains(child) && (soft || self.state.step(child).continue_on_failure)
        })
    }

    pub(super) fn attempt_ended(&mut self, at: StepIndex, end: AttemptEnd) {
        let cause = match self.state.slots[at.get()].phase {
            Phase::Running => None,
            Phase::Stopping(cause) => Some(cause),
            Phase::Waiting
            | Phase::ToLookUp
            | Phase::LookingUp
            | Phase::LookupStopping
            | Phase::Ready
            | Phase::Ended(_) => return,
        };
        self.state.free_permits += 1;
        let outcome = match (end, cause) {
            (
                AttemptEnd::Exited {
                    exit_code,
                    cause,
                    snapshot,
                },
                _,
            ) => {
                let slot = &mut self.state.slots[at.get()];
                slot.snapshot = snapshot;
                slot.cause = cause;
                if exit_code == 0 {
                    StepOutcome::Passed { cached: false }
                } else {
                    StepOutcome::Failed { exit_code }
                }
            }
            (AttemptEnd::Stopped, Some(StopCause::Budget)) => StepOutcome::TimedOut,
            (AttemptEnd::Stopped, Some(StopCause::Build(reason))) => StepOutcome::Canceled(reason),
            (AttemptEnd::Stopped, None) => unasked_stop(),
            (AttemptEnd::Errored { causes, fixes }, _) => StepOutcome::Errored { causes, fixes },
        };
        self.end(at, outcome);
    }

    pub(super) fn budget_ran_out(&mut self, at: StepIndex) {
        let slot = &mut self.state.slots[at.get()];
        if slot.phase == Phase::Running {
            slot.phase = Phase::Stopping(StopCause::Budget);
            self.effects.push(Effect::Stop(at));
        }
    }

    pub(super) fn skip(&mut self, at: StepIndex, reason: SkipReason) {
        let phase = &self.state.slots[at.get()].phase;
        let (holds, is_asked) = (
            *phase == Phase::Ready && self.state.is_cacheable(at),
            *phase == Phase::LookupStopping,
        );
        if holds {
            self.state.lookup_turns.let_go();
        }
        if holds || is_asked {
            self.effects.push(Effect::Abandon(at));
        }
        self.end(at, StepOutcome::Skipped(reason));
    }

    /// The one place where a step becomes terminal.
    pub(super) fn end(&mut self, at: StepIndex, outcome: StepOutcome) {
        let step = self.state.step(at);
        let (key, soft) = (step.key.as_str().to_owned(), step.allow_failure);
        let step_id = self.state.step_id(at);
        self.append_terminal(at, &outcome);
        let status = status_of(&outcome);
        let fails = matches!(
            outcome,
            StepOutcome::Failed { .. } | StepOutcome::TimedOut | StepOutcome::Errored { .. }
        );
        let ending = match outcome {
            StepOutcome::Passed { .. } => Ending::Good,
            StepOutcome::Skipped(reason) => Ending::Bad(reason),
            StepOutcome::Failed { .. } | StepOutcome::TimedOut | StepOutcome::Errored { .. } if soft => {
                Ending::Soft(status)
            }
            StepOutcome::Failed { .. }
            | StepOutcome::TimedOut
            | StepOutcome::Errored { .. }
            | StepOutcome::Canceled(_) => Ending::Bad(SkipReason::Prerequisite { step_id, key, status }),
        };
        self.state.slots[at.get()].phase = Phase::Ended(ending);
        self.state.not_ended -= 1;
        self.state.to_tell.push(at);
        self.release_snapshots(at);
        if fails && !soft {
            self.state.tally.step_failed();
            if !self.state.settings.keep_going {
                // The step's own dependents come first: they have a better reason than that the build stops.
                self.tell_dependents();
                self.stop(CancelReason::StepFailed);
            }
        }
    }

    fn append_terminal(&mut self, at: StepIndex, outcome: &StepOutcome) {
        let step_id = self.state.step_id(at);
        let key = self.state.step(at).key.as_str();
        if let StepOutcome::Skipped(reason) = outcome {
            let event = BuildEvent::StepSkipped {
                step_id,
                key: key.to_owned(),
                reason: reason.clone(),
            };
            return self.append(event);
        }
        let exit_code = exit_code_of(outcome);
        let (causes, fixes) = match outcome {
            StepOutcome::Errored { causes, fixes } => (causes.clone(), fixes.clone()),
            StepOutcome::Failed { .. } => {
                let cause = &self.state.slots[at.get()].cause;
                (cause.iter().cloned().collect(), Vec::new())
            }
            StepOutcome::Passed { .. } | StepOutcome::TimedOut | StepOutcome::Canceled(_) | StepOutcome::Skipped(_) => {
                (Vec::new(), Vec::new())
            }
        };
        let duration = self.now.saturating_sub(self.state.slots[at.get()].since);
        self.append(BuildEvent::StepEnd {
            step_id,
            exit_code,
            duration_ms: millis(duration),
            snapshot: self.state.slots[at.get()].snapshot.clone(),
            status: status_of(outcome),
            causes,
            fixes,
        });
        self.append_chain_failed(at, outcome);
    }

    /// A chain fails once, at its first step that fails the build.
    fn append_chain_failed(&mut self, at: StepIndex, outcome: &StepOutcome) {
        let step = self.state.step(at);
        let said = match outcome {
            StepOutcome::Failed { exit_code } => {
                let said = format!("{} exited with {exit_code}", display_name(step));
                match &self.state.slots[at.get()].cause {
                    Some(cause) => format!("{said}: {cause}"),
                    None => said,
                }
            }
            StepOutcome::TimedOut => format!("{} ran over its time", display_name(step)),
            StepOutcome::Errored { causes, fixes: _ } => {
                let cause = causes.first().map_or("unknown cause", String::as_str);
                format!("{} could not be run: {cause}", display_name(step))
            }
            StepOutcome::Passed { .. } | StepOutcome::Canceled(_) | StepOutcome::Skipped(_) => return,
        };
        let chain = self.state.graph().chain(at);
        let (allowed, key) = (step.allow_failure, step.key.as_str().to_owned());
        let failed = &mut self.state.chain_failed[chain.0 as usize];
        if allowed || std::mem::replace(failed, true) {
            return;
        }
        let event = BuildEvent::ChainFailed {
            chain_idx: chain.0,
            failed_step_id: self.state.step_id(at),
            failed_step_key: key,
            exit_code: exit_code_of(outcome),
            message: said,
            ts: self.wall_time(),
        };
        self.append(event);
    }

    /// Lets go of the snapshots that this end was the last to need: the step's own, and its parent's.
    fn release_snapshots(&mut self, at: StepIndex) {
        self.release_if_unneeded(at);
        if let Some(parent) = self.state.graph().parent(at) {
            self.state.slots[parent.get()].open_children -= 1;
            self.release_if_unneeded(parent);
        }
    }

    fn release_if_unneeded(&mut self, at: StepIndex) {
        let slot = &mut self.state.slots[at.get()];
        if slot.open_children == 0
            && matches!(slot.phase, Phase::Ended(_))
            && let Some(snapshot) = slot.snapshot.take()
        {
            self.effects.push(Effect::ReleaseSnapshot { step: at, snapshot });
        }
    }

    /// Passes the ends of steps on, transitively, without recursion.
    pub(super) fn tell_dependents(&mut self) {
        let pipeline = Arc::clone(&self.state.settings.pipeline);
        while let Some(ended) = self.state.to_tell.pop() {
            for &next in pipeline.graph().dependents(ended) {
                if self.state.settings.selection.contains(next) {
                    self.tell(next, ended);
                }
            }
        }
    }

    fn tell(&mut self, next: StepIndex, ended: StepIndex) {
        let slot = &mut self.state.slots[next.get()];
        slot.waiting_for -= 1;
        let last = slot.waiting_for == 0;
        if slot.phase != Phase::Waiting {
            return;
        }
        match self.obstacle(next, ended) {
            Some(reason) => self.skip(next, reason),
            None if last => self.become_runnable(next),
            None => {}
        }
    }

    /// Why the end of `ended` keeps `next` from running.
    fn obstacle(&self, next: StepIndex, ended: StepIndex) -> Option<SkipReason> {
        let slot = &self.state.slots[ended.get()];
        let Phase::Ended(ending) = &slot.phase else { return None };
        let nothing_to_boot_from = self.state.graph().parent(next) == Some(ended) && slot.snapshot.is_none();
        match ending {
            Ending::Good => None,
            Ending::Soft(_) if !nothing_to_boot_from => None,
            Ending::Soft(status) => Some(SkipReason::Prerequisite {
                step_id: slot.id,
                key: self.state.step(ended).key.as_str().to_owned(),
                status: *status,
            }),
            Ending::Bad(_) if self.state.step(next).continue_on_failure && !nothing_to_boot_from => None,
            Ending::Bad(reason) => Some(reason.clone()),
        }
    }

    pub(super) fn stop_from_outside(&mut self, reason: CancelReason) {
        if reason > CancelReason::StepFailed {
            self.state.tally.outside_reason(reason);
            self.stop(reason);
        }
    }

    /// Starts nothing more and stops what runs. Only a reason greater than the one that acts does something.
    fn stop(&mut self, reason: CancelReason) {
        if self.state.stopping >= Some(reason) {
            return;
        }
        self.state.stopping = Some(reason);
        let pipeline = Arc::clone(&self.state.settings.pipeline);
        for at in pipeline.graph().indices() {
            if self.state.settings.selection.contains(at) && !self.survives(at, reason) {
                self.stop_step(at, reason);
            }
        }
    }

    /// A failure elsewhere doesn't stop a step that is there for failures.
    fn survives(&self, at: StepIndex, reason: CancelReason) -> bool {
        reason == CancelReason::StepFailed && self.state.step(at).continue_on_failure
    }

    fn stop_step(&mut self, at: StepIndex, reason: CancelReason) {
        let slot = &mut self.state.slots[at.get()];
        match slot.phase {
            Phase::Waiting | Phase::ToLookUp | Phase::Ready => self.skip(at, SkipReason::Stopped { reason }),
            Phase::LookingUp => {
                slot.phase = Phase::LookupStopping;
                self.effects.push(Effect::Stop(at));
            }
            Phase::Running => {
                slot.phase = Phase::Stopping(StopCause::Build(reason));
                self.effects.push(Effect::Stop(at));
            }
            Phase::Stopping(StopCause::Build(_)) => slot.phase = Phase::Stopping(StopCause::Build(reason)),
            Phase::Stopping(StopCause::Budget) | Phase::LookupStopping | Phase::Ended(_) => {}
        }
    }

    pub(super) fn finish_if_done(&mut self) {
        if self.state.not_ended > 0 {
            return;
        }
        self.state.over = true;
        let verdict = self.state.tally.verdict(self.now);
        self.append(BuildEvent::BuildEnd {
            exit_code: verdict.exit_code,
            duration_ms: verdict.duration_ms,
            status: verdict.status,
        });
        self.effects.push(Effect::Finish(verdict));
    }

    pub(super) fn parent_snapshot(&self, at: StepIndex) -> Option<SnapshotRef> {
        let parent = self.state.graph().parent(at)?;
        self.state.slots[parent.get()].snapshot.clone()
    }

    pub(super) fn append(&mut self, event: BuildEvent) {
        self.effects.push(Effect::Append(event));
    }

    fn wall_time(&self) -> String {
        let age = SignedDuration::try_from(self.now).unwrap_or(SignedDuration::MAX);
        self.state
            .settings
            .started_at
            .saturating_add(age)
            .unwrap_or(Timestamp::MAX)
            .to_string()
    }
}

pub(super) fn unasked_stop() -> StepOutcome {
    StepOutcome::Errored {
        causes: vec!["the runner stopped the step although nothing told it to".to_owned()],
        fixes: Vec::new(),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn queued(slots: &[Slot], graph: &PipelineGraph, at: StepIndex) -> BuildEvent {
    let step = graph.step(at);
    BuildEvent::StepQueued {
        step_id: slots[at.get()].id,
        key: step.key.as_str().to_owned(),
        chain_idx: graph.chain(at).0,
        parent_key: graph
            .parent(at)
            .map(|parent| graph.step(parent).key.as_str().to_owned()),
        display_name: display_name(step),
    }
}
