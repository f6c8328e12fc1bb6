//! A build without a backend: the test says what happens, the simulation keeps count.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use hm_exec::{AttemptEnd, BuildSettings, BuildState, CacheAnswer, Effect, Input, RootImages, Selection, Timer};
use hm_pipeline_ir::{Pipeline, StepIndex};
use hm_plugin_protocol::{BuildEvent, CancelReason, RunId, SnapshotRef, Verdict};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) state: BuildState,
    pub(crate) now: Duration,
    pub(crate) looking_up: BTreeSet<StepIndex>,
    /// Looked up in vain, and neither started nor abandoned.
    pub(crate) holding: BTreeSet<StepIndex>,
    pub(crate) running: BTreeSet<StepIndex>,
    /// Told to stop.
    pub(crate) told: BTreeSet<StepIndex>,
    pub(crate) timers: BTreeSet<(Duration, Timer)>,
    /// Snapshots that exist, by the step that left them.
    pub(crate) snapshots: BTreeMap<StepIndex, SnapshotRef>,
    pub(crate) started: Vec<StepIndex>,
    pub(crate) replayed: Vec<StepIndex>,
    pub(crate) abandoned: BTreeSet<StepIndex>,
    pub(crate) keeps: BTreeMap<StepIndex, (bool, bool)>,
    pub(crate) events: Vec<BuildEvent>,
    pub(crate) verdict: Option<Verdict>,
}

pub(crate) fn settings(pipeline: &Arc<Pipeline>) -> BuildSettings {
    BuildSettings {
        run_id: RunId(Uuid::nil()),
        pipeline: Arc::clone(pipeline),
        selection: Selection::all(pipeline.graph()),
        started_at: Timestamp::UNIX_EPOCH,
        accepted: None,
        parallelism: NonZeroUsize::new(2).expect("two is not zero"),
        open_lookups: NonZeroUsize::new(100).expect("not zero"),
        keep_going: false,
        timeout: None,
        default_runner: "vm".to_owned(),
        images: RootImages {
            default: "host".to_owned(),
            forced: None,
        },
    }
}

impl Simulation {
    pub(crate) fn new(settings: BuildSettings) -> Self {
        Self {
            pipeline: Arc::clone(&settings.pipeline),
            state: BuildState::new(settings, &|_| None),
            now: Duration::ZERO,
            looking_up: BTreeSet::new(),
            holding: BTreeSet::new(),
            running: BTreeSet::new(),
            told: BTreeSet::new(),
            timers: BTreeSet::new(),
            snapshots: BTreeMap::new(),
            started: Vec::new(),
            replayed: Vec::new(),
            abandoned: BTreeSet::new(),
            keeps: BTreeMap::new(),
            events: Vec::new(),
            verdict: None,
        }
    }

    pub(crate) fn begun(settings: BuildSettings) -> Self {
        let mut simulation = Self::new(settings);
        simulation.tell(Input::Begin);
        simulation
    }

    /// One input, a second after the one before.
    pub(crate) fn tell(&mut self, input: Input) {
        self.now += Duration::from_secs(1);
        let mut effects = Vec::new();
        self.state.apply(self.now, input, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        assert!(
            self.looking_up.len() + self.holding.len() <= self.state.settings().open_lookups.get(),
            "more look-ups than may be open"
        );
    }

    fn carry_out(&mut self, effect: Effect) {
        assert!(self.verdict.is_none(), "after the end: {effect:?}");
        match effect {
            Effect::Append(event) => self.events.push(event),
            Effect::Lookup {
                step, parent_snapshot, ..
            } => {
                self.check_parent(step, parent_snapshot.as_ref());
                assert!(self.looking_up.insert(step), "looked up twice: {step:?}");
            }
            Effect::Replay(step) => self.replayed.push(step),
            Effect::Abandon(step) => {
                self.holding.remove(&step);
                assert!(self.abandoned.insert(step), "abandoned twice: {step:?}");
            }
            Effect::Start {
                step,
                parent_snapshot,
                keep_snapshot,
                keep_when_failed,
            } => {
                self.check_parent(step, parent_snapshot.as_ref());
                assert!(!self.started.contains(&step), "started twice: {step:?}");
                self.started.push(step);
                self.holding.remove(&step);
                self.running.insert(step);
                self.keeps.insert(step, (keep_snapshot, keep_when_failed));
                assert!(
                    self.running.len() <= self.state.settings().parallelism.get(),
                    "more steps than permits"
                );
            }
            Effect::Stop(step) => {
                assert!(
                    self.running.contains(&step) || self.looking_up.contains(&step),
                    "not at work: {step:?}"
                );
                assert!(self.told.insert(step), "told to stop twice: {step:?}");
            }
            Effect::ArmTimer { timer, at } => {
                self.timers.insert((at, timer));
            }
            Effect::ReleaseSnapshot { step, snapshot } => {
                assert_eq!(self.snapshots.remove(&step), Some(snapshot), "no such snapshot");
                let children = self.pipeline.graph().children(step);
                let busy = |child: &StepIndex| self.running.contains(child) || self.looking_up.contains(child);
                assert!(!children.iter().any(busy), "a child is at work");
            }
            Effect::Finish(verdict) => {
                assert!(
                    self.running.is_empty() && self.looking_up.is_empty() && self.holding.is_empty(),
                    "finished while steps are at work"
                );
                assert!(
                    self.snapshots.is_empty(),
                    "finished with snapshots that nobody released"
                );
                self.verdict = Some(verdict);
            }
        }
    }

    fn check_parent(&self, step: StepIndex, snapshot: Option<&SnapshotRef>) {
        let parent = self.pipeline.graph().parent(step);
        assert_eq!(
            snapshot,
            parent.and_then(|parent| self.snapshots.get(&parent)),
            "wrong snapshot for {step:?}"
        );
    }

    pub(crate) fn exits(&mut self, step: u32, exit_code: i32) {
        self.exits_because(step, exit_code, None);
    }

    pub(crate) fn exits_because(&mut self, step: u32, exit_code: i32, cause: Option<&str>) {
        let at = StepIndex::new(step);
        assert!(self.running.remove(&at), "{step} is not running");
        let (keep, keep_when_failed) = self.keeps[&at];
        let snapshot = if exit_code == 0 { keep } else { keep_when_failed };
        let snapshot = snapshot.then(|| self.leave_snapshot(at));
        self.tell(Input::Ended {
            step: at,
            end: AttemptEnd::Exited {
                exit_code,
                cause: cause.map(str::to_owned),
                snapshot,
            },
        });
    }

    pub(crate) fn stops(&mut self, step: u32) {
        let at = StepIndex::new(step);
        assert!(self.running.remove(&at), "{step} is not running");
        self.tell(Input::Ended {
            step: at,
            end: AttemptEnd::Stopped,
        });
    }

    pub(crate) fn errs(&mut self, step: u32, cause: &str) {
        let at = StepIndex::new(step);
        assert!(self.running.remove(&at), "{step} is not running");
        self.tell(Input::Ended {
            step: at,
            end: AttemptEnd::Errored {
                causes: vec![cause.to_owned()],
                fixes: vec![format!("mend {cause}")],
            },
        });
    }

    pub(crate) fn looked_up(&mut self, step: u32, answer: CacheAnswer) {
        let at = StepIndex::new(step);
        assert!(self.looking_up.remove(&at), "{step} is not being looked up");
        if answer == CacheAnswer::Miss {
            self.holding.insert(at);
        }
        self.tell(Input::LookedUp { step: at, answer });
    }

    pub(crate) fn hits(&mut self, step: u32) {
        let snapshot = Some(self.leave_snapshot(StepIndex::new(step)));
        self.looked_up(
            step,
            CacheAnswer::Hit {
                tag: format!("tag-{step}"),
                snapshot,
            },
        );
    }

    pub(crate) fn cancel(&mut self, reason: CancelReason) {
        self.tell(Input::Cancel(reason));
    }

    fn leave_snapshot(&mut self, at: StepIndex) -> SnapshotRef {
        let snapshot = SnapshotRef(format!("snapshot-{}", at.as_u32()));
        self.snapshots.insert(at, snapshot.clone());
        snapshot
    }

    /// The fate of each step in document order, in one word or two.
    pub(crate) fn fates(&self) -> Vec<String> {
        let graph = self.pipeline.graph();
        graph.indices().map(|at| self.fate(at)).collect()
    }

    pub(crate) fn fate(&self, at: StepIndex) -> String {
        let id = self.state.step_id(at);
        let found = self.events.iter().find_map(|event| match event {
            BuildEvent::StepEnd {
                step_id,
                status,
                exit_code,
                ..
            } if *step_id == id => Some(format!("{status:?} {exit_code}")),
            BuildEvent::StepSkipped { step_id, reason, .. } if *step_id == id => Some(reason_text(reason)),
            _ => None,
        });
        found.unwrap_or_else(|| "open".to_owned())
    }

    pub(crate) fn exit_code(&self) -> i32 {
        self.verdict.expect("the build is over").exit_code
    }
}

fn reason_text(reason: &hm_plugin_protocol::SkipReason) -> String {
    match reason {
        hm_plugin_protocol::SkipReason::Prerequisite { key, status, .. } => format!("skipped: {key} {status:?}"),
        hm_plugin_protocol::SkipReason::Stopped { reason } => format!("skipped: {reason:?}"),
    }
}
