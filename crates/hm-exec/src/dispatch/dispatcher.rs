//! The one task that owns a build.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, CacheDecision, CancelReason, SnapshotRef, Verdict};
use hm_vm::{OutputSink as _, StopToken};
use tokio::task::{JoinError, JoinSet};

use super::clock::BuildClock;
use super::event_log::EventLog;
use super::step_output::{HeldOutput, LogFailure, StepOutput};
use super::step_task::{Found, Report, caught, execute, leftovers, look_up, reap};
use super::timers::Timers;
use crate::backend::{BuildError, BuildOutcome, ControlEnd};
use crate::local::PullListener;
use crate::runner::{
    BuildContext, Keep, Keepsake, RegistryError, RunnerRegistry, StepContext, StepLog, StepRunner, causes,
};
use crate::state::{AttemptEnd, BuildState, CacheAnswer, Effect, Input};

/// What a build is made of.
pub(crate) struct DispatcherParts<L> {
    pub(crate) state: BuildState,
    pub(crate) build: Arc<BuildContext>,
    pub(crate) runners: RunnerRegistry,
    pub(crate) log: L,
    pub(crate) clock: BuildClock,
    pub(crate) control: ControlEnd,
    pub(crate) pulls: PullListener,
}

/// A build that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: BuildOutcome,
    /// How long those steps took that ran and passed.
    pub(crate) durations: Vec<(StepIndex, Duration)>,
}

/// Owns a build: takes in what happens, asks the state, carries out what it says.
///
/// Tasks answer by their end, so a report can't be lost and none is left when the build is over.
pub(crate) struct Dispatcher<L> {
    state: BuildState,
    build: Arc<BuildContext>,
    runners: RunnerRegistry,
    log: L,
    log_failure: LogFailure,
    clock: BuildClock,
    control: ControlEnd,
    pulls: PullListener,
    log_failure_told: bool,
    tasks: JoinSet<Report>,
    timers: Timers,
    stop_preparing: StopToken,
    stops: HashMap<StepIndex, StopToken>,
    /// What look-ups brought, until the step starts or its log is put in.
    found: HashMap<StepIndex, Found>,
    /// What runners want to know when a step boots from this one, while such steps can come.
    keepsakes: HashMap<StepIndex, Arc<Keepsake>>,
    to_reap: BTreeMap<String, Vec<SnapshotRef>>,
    /// Inputs that came up while effects were carried out.
    pending: Vec<Input>,
    effects: Vec<Effect>,
    leftovers: Vec<String>,
    durations: Vec<(StepIndex, Duration)>,
    verdict: Option<Verdict>,
}

/// Reports taken in before anybody else is heard.
const REPORTS_A_TURN: usize = 256;

/// Effects kept room for between inputs; the first input of a large build has many more.
const EFFECTS_ROOM: usize = 4096;

/// Something that reached the dispatcher.
enum Happening {
    Reported(Report),
    Told(Input),
    /// To be passed on as it is.
    Event(BuildEvent),
}

impl From<Result<Report, JoinError>> for Happening {
    fn from(joined: Result<Report, JoinError>) -> Self {
        // Tasks catch the panics of runners and nobody aborts them, so that none dies.
        Self::Reported(joined.unwrap_or_else(|died| Report::CleanedUp(vec![died.to_string()])))
    }
}

impl<L: EventLog> Dispatcher<L> {
    pub(crate) fn new(parts: DispatcherParts<L>) -> Self {
        let DispatcherParts {
            state,
            build,
            runners,
            log,
            clock,
            control,
            pulls,
        } = parts;
        Self {
            state,
            build,
            runners,
            log,
            log_failure: LogFailure::default(),
            clock,
            control,
            pulls,
            log_failure_told: false,
            tasks: JoinSet::new(),
            timers: Timers::default(),
            stop_preparing: StopToken::new(),
            stops: HashMap::new(),
            found: HashMap::new(),
            keepsakes: HashMap::new(),
            to_reap: BTreeMap::new(),
            pending: Vec::new(),
            effects: Vec::new(),
            leftovers: Vec::new(),
            durations: Vec::new(),
            verdict: None,
        }
    }

    /// Runs the build to its end.
    pub(crate) async fn run(mut self) -> Result<Ran, BuildError> {
        self.prepare();
        self.take_in(Input::Begin);
        self.end_turn();
        let verdict = loop {
            if let Some(verdict) = self.verdict {
                break verdict;
            }
            self.turn().await;
        };
        self.clean_up().await;
        self.outcome(verdict)
    }

    async fn turn(&mut self) {
        let happening = self.next().await;
        self.handle(happening);
        for _ in 0..REPORTS_A_TURN {
            let Some(joined) = self.tasks.try_join_next() else {
                break;
            };
            self.handle(Happening::from(joined));
        }
        self.end_turn();
    }

    /// Has runners get ready what the selected root steps boot from.
    fn prepare(&mut self) {
        let mut images: BTreeMap<String, Vec<StepIndex>> = BTreeMap::new();
        let graph = self.build.pipeline.graph();
        for at in graph
            .indices()
            .filter(|&at| self.state.settings().selection.contains(at))
        {
            if graph.parent(at).is_none() {
                images.entry(self.runner_name(at).to_owned()).or_default().push(at);
            }
        }
        for (name, roots) in images {
            let Ok(runner) = self.runners.resolve(Some(&name)).map(Arc::clone) else {
                continue;
            };
            let (build, stop) = (Arc::clone(&self.build), self.stop_preparing.clone());
            self.tasks.spawn(async move {
                let mut images: Vec<&str> = roots.iter().map(|&at| build.root_image(at)).collect();
                images.sort_unstable();
                images.dedup();
                let prepared = caught(runner.prepare(&build, &images, &stop)).await;
                Report::CleanedUp(leftovers(prepared))
            });
        }
    }

    async fn next(&mut self) -> Happening {
        tokio::select! {
            biased;
            () = self.log_failure.happened(), if !self.log_failure_told => {
                self.log_failure_told = true;
                Happening::Told(Input::Cancel(CancelReason::Terminate))
            }
            reason = self.control.next_reason() => Happening::Told(Input::Cancel(reason)),
            timer = self.timers.fired(&self.clock) => Happening::Told(Input::TimerFired(timer)),
            // Before the reports: an image is ready before a step starts in it.
            event = self.pulls.next() => Happening::Event(event),
            Some(joined) = self.tasks.join_next() => Happening::from(joined),
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Told(input) => self.take_in(input),
            Happening::Reported(report) => self.handle_report(report),
            Happening::Event(event) => self.append(&event),
        }
    }

    fn handle_report(&mut self, report: Report) {
        match report {
            Report::LookedUp { step, answer, found } => {
                self.stops.remove(&step);
                let mut found = found;
                self.keep_keepsake(step, found.keepsake.take());
                self.found.insert(step, found);
                self.take_in(Input::LookedUp { step, answer });
            }
            Report::Ended {
                step,
                end,
                keepsake,
                usage,
                took,
            } => {
                if matches!(end, AttemptEnd::Exited { exit_code: 0, .. }) {
                    self.durations.push((step, took));
                }
                self.stops.remove(&step);
                self.keep_keepsake(step, keepsake);
                self.output(step).finish();
                if let Some(usage) = usage {
                    self.append(&BuildEvent::StepUsage {
                        step_id: self.state.step_id(step),
                        cpu_ms: u64::try_from(usage.cpu.as_millis()).unwrap_or(u64::MAX),
                        max_rss_bytes: usage.max_rss_bytes,
                        read_bytes: usage.read_bytes,
                        write_bytes: usage.write_bytes,
                    });
                }
                self.take_in(Input::Ended { step, end });
            }
            Report::CleanedUp(leftovers) => self.leftovers.extend(leftovers),
        }
    }

    fn keep_keepsake(&mut self, step: StepIndex, keepsake: Option<Keepsake>) {
        let has_children = !self.build.pipeline.graph().children(step).is_empty();
        if let Some(keepsake) = keepsake.filter(|_| has_children) {
            self.keepsakes.insert(step, Arc::new(keepsake));
        }
    }

    /// Gives the state an input and carries out everything that follows from it.
    fn take_in(&mut self, input: Input) {
        self.pending.push(input);
        while let Some(input) = self.pending.pop() {
            let mut effects = std::mem::take(&mut self.effects);
            self.state.apply(self.clock.age(), input, &mut effects);
            for effect in effects.drain(..) {
                self.carry_out(effect);
            }
            effects.shrink_to(EFFECTS_ROOM);
            self.effects = effects;
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append(event) => {
                if let BuildEvent::BuildEnd { .. } = event {
                    // It is the last.
                    for left in self.pulls.end() {
                        self.append(&left);
                    }
                }
                self.append(&event);
            }
            Effect::Lookup {
                step,
                parent_snapshot,
                keep_snapshot,
            } => {
                let keep = Keep {
                    snapshot: keep_snapshot,
                    when_failed: false,
                };
                self.look_up(step, parent_snapshot, keep);
            }
            Effect::Replay(step) => self.replay(step),
            Effect::Abandon(step) => drop(self.found.remove(&step)),
            Effect::Start {
                step,
                parent_snapshot,
                keep_snapshot,
                keep_when_failed,
            } => {
                let keep = Keep {
                    snapshot: keep_snapshot,
                    when_failed: keep_when_failed,
                };
                self.start(step, parent_snapshot, keep);
            }
            Effect::Stop(step) => {
                if let Some(stop) = self.stops.get(&step) {
                    stop.stop();
                }
            }
            Effect::ArmTimer { timer, at } => self.timers.arm(timer, at),
            Effect::ReleaseSnapshot { step, snapshot } => {
                self.keepsakes.remove(&step);
                self.to_reap
                    .entry(self.runner_name(step).to_owned())
                    .or_default()
                    .push(snapshot);
            }
            Effect::Finish(verdict) => self.verdict = Some(verdict),
        }
    }

    fn append(&self, event: &BuildEvent) {
        if !self.log_failure.has_happened() {
            self.log_failure.note(self.log.append(event));
        }
    }

    fn replay(&mut self, step: StepIndex) {
        let found = self.found.remove(&step).unwrap_or_default();
        if found.log.is_none() {
            let output = self.output(step);
            for (stream, bytes) in found.output {
                output.write(stream, &bytes);
            }
            output.finish();
        }
        if let Some(log) = found.log.filter(|_| !self.log_failure.has_happened()) {
            self.log_failure
                .note(self.log.replay(step, self.state.step_id(step), &log));
        }
    }

    fn output(&self, step: StepIndex) -> StepOutput<L> {
        StepOutput {
            log: self.log.clone(),
            failure: self.log_failure.clone(),
            clock: self.clock,
            step,
            step_id: self.state.step_id(step),
        }
    }

    fn look_up(&mut self, step: StepIndex, parent_snapshot: Option<SnapshotRef>, keep: Keep) {
        self.stops.insert(step, StopToken::new());
        let said = Arc::new(HeldOutput::default());
        let context = self.context(step, parent_snapshot, keep, None, Arc::clone(&said) as Arc<dyn StepLog>);
        match self.runner(step) {
            Ok(runner) => drop(self.tasks.spawn(look_up(runner, context, said))),
            Err(unknown) => {
                let answer = CacheAnswer::Errored {
                    causes: causes(&unknown),
                    fixes: Vec::new(),
                };
                self.pending.push(Input::LookedUp { step, answer });
            }
        }
    }

    fn start(&mut self, step: StepIndex, parent_snapshot: Option<SnapshotRef>, keep: Keep) {
        let found = self.found.remove(&step).unwrap_or_default();
        self.stops.insert(step, StopToken::new());
        let output = self.output(step);
        for (stream, bytes) in found.output {
            output.write(stream, &bytes);
        }
        let context = self.context(step, parent_snapshot, keep, found.held, Arc::new(output));
        let decision = found.decision.unwrap_or(CacheDecision::MissNoCommit);
        match self.runner(step) {
            Ok(runner) => drop(self.tasks.spawn(execute(runner, context, decision))),
            Err(unknown) => {
                let end = AttemptEnd::Errored {
                    causes: causes(&unknown),
                    fixes: Vec::new(),
                };
                self.pending.push(Input::Ended { step, end });
            }
        }
    }

    fn context(
        &self,
        step: StepIndex,
        parent_snapshot: Option<SnapshotRef>,
        keep: Keep,
        held: Option<Keepsake>,
        output: Arc<dyn StepLog>,
    ) -> StepContext {
        let parent = self.build.pipeline.graph().parent(step);
        StepContext {
            build: Arc::clone(&self.build),
            at: step,
            step_id: self.state.step_id(step),
            parent_snapshot,
            parent_keepsake: parent.and_then(|parent| self.keepsakes.get(&parent).map(Arc::clone)),
            is_last_child: self.state.is_last_child(step),
            keep,
            stop: self.stops.get(&step).cloned().unwrap_or_default(),
            output,
            held: Mutex::new(held),
            keepsake: OnceLock::new(),
            usage: OnceLock::new(),
        }
    }

    fn runner_name(&self, step: StepIndex) -> &str {
        let named = self.build.pipeline.graph().step(step).runner.as_deref();
        named.unwrap_or_else(|| self.runners.default_runner_name())
    }

    fn runner(&self, step: StepIndex) -> Result<Arc<dyn StepRunner>, RegistryError> {
        self.runners.resolve(Some(self.runner_name(step))).map(Arc::clone)
    }

    /// The snapshots that a turn gathered are reaped together.
    fn end_turn(&mut self) {
        for (name, snapshots) in std::mem::take(&mut self.to_reap) {
            if let Ok(runner) = self.runners.resolve(Some(&name)) {
                self.tasks.spawn(reap(Arc::clone(runner), snapshots));
            }
        }
    }

    /// Waits for every task, then has runners let go of the build.
    async fn clean_up(&mut self) {
        self.stop_preparing.stop();
        while let Some(joined) = self.tasks.join_next().await {
            match joined {
                Ok(report) => self.handle_report(report),
                Err(died) => self.leftovers.push(died.to_string()),
            }
        }
        let run_id = self.build.run_id;
        let runners: Vec<_> = self.runners.runners().map(Arc::clone).collect();
        for runner in runners {
            self.leftovers.extend(leftovers(caught(runner.end_build(run_id)).await));
        }
    }

    fn outcome(self, verdict: Verdict) -> Result<Ran, BuildError> {
        if let Some(error) = self.log_failure.first() {
            return Err(BuildError::Journal(error));
        }
        let outcome = BuildOutcome {
            run_id: self.build.run_id,
            status: verdict.status,
            exit_code: verdict.exit_code,
            duration: self.clock.age(),
            leftovers: self.leftovers,
        };
        Ok(Ran {
            outcome,
            durations: self.durations,
        })
    }
}
