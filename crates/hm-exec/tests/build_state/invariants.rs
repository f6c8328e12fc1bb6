//! What holds for every graph, every order of inputs, every failure, cancel and timeout.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use hm_exec::{CacheAnswer, Input, Selection};
use hm_pipeline_ir::{PipelineGraph, StepIndex};
use hm_plugin_protocol::{BuildEvent, BuildStatus, CancelReason, SkipReason, StepId, StepStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::pipelines::{Node, pipeline, step};
use crate::simulation::{Simulation, settings};

/// How a step ends if nobody interferes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nature {
    Passes,
    Fails,
    Errs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InCache {
    Hit,
    Miss,
    Error,
}

#[derive(Clone, Debug)]
struct Plan {
    nodes: Vec<Node>,
    natures: Vec<Nature>,
    in_cache: Vec<InCache>,
    parallelism: usize,
    open_lookups: usize,
    keep_going: bool,
    timeout: bool,
    only: Option<Vec<Index>>,
}

/// What to do next, among what is possible.
#[derive(Clone, Debug)]
enum Move {
    Advance(usize),
    FireTimer,
    Cancel(CancelReason),
}

type Dice = (u8, u8, u8, u8, u8, u64, Option<Index>);

fn node((key, dice): (usize, &Dice)) -> Node {
    let (cached, continues, soft, budget, _, needs, parent) = dice;
    let mut node = step(&key.to_string());
    if cached % 3 == 0 {
        node = node.cached();
    }
    if continues % 5 == 0 {
        node = node.with("continue_on_failure", true);
    }
    if soft % 6 == 0 {
        node = node.with("allow_failure", true);
    }
    if budget % 4 == 0 {
        node = node.with("timeout_seconds", 1 + u32::from(*budget) / 4);
    }
    for before in 0..key {
        if needs & (3 << (2 * before)) == 0 {
            node = node.after(before);
        }
    }
    match parent {
        Some(parent) if key > 0 => node.on(parent.index(key)),
        _ => node,
    }
}

prop_compose! {
    fn plans()(
        dice in vec(any::<Dice>(), 0..14),
        natures in vec(prop_oneof![6 => Just(Nature::Passes), 2 => Just(Nature::Fails), 1 => Just(Nature::Errs)], 14),
        in_cache in vec(prop_oneof![4 => Just(InCache::Hit), 4 => Just(InCache::Miss), 1 => Just(InCache::Error)], 14),
        parallelism in 1..5_usize,
        open_lookups in 1..5_usize,
        keep_going: bool,
        timeout: bool,
        only in proptest::option::weighted(0.3, vec(any::<Index>(), 1..3)),
    ) -> Plan {
        let nodes = dice.iter().enumerate().map(node).collect();
        Plan { nodes, natures, in_cache, parallelism, open_lookups, keep_going, timeout, only }
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let reason = prop_oneof![
        Just(CancelReason::StepFailed),
        Just(CancelReason::BuildTimeout),
        Just(CancelReason::Terminate),
        Just(CancelReason::Interrupt),
    ];
    let one = prop_oneof![
        20 => (0..1000_usize).prop_map(Move::Advance),
        2 => Just(Move::FireTimer),
        1 => reason.prop_map(Move::Cancel),
    ];
    vec(one, 0..40)
}

impl Plan {
    fn begun(&self) -> Simulation {
        let pipeline = pipeline(&self.nodes);
        let mut settings = settings(&pipeline);
        settings.parallelism = NonZeroUsize::new(self.parallelism).expect("from 1 up");
        settings.open_lookups = NonZeroUsize::new(self.open_lookups).expect("from 1 up");
        settings.keep_going = self.keep_going;
        settings.timeout = self.timeout.then(|| Duration::from_secs(20));
        if let Some(only) = self.only.as_ref().filter(|_| !self.nodes.is_empty()) {
            let key = |index: &Index| {
                pipeline
                    .graph()
                    .step(StepIndex::new(to_u32(index.index(self.nodes.len()))))
                    .key
                    .clone()
            };
            let keys: Vec<_> = only.iter().map(key).collect();
            settings.selection = Selection::with_needs(pipeline.graph(), &keys).expect("the keys are the graph's own");
        }
        Simulation::begun(settings)
    }

    /// Lets one step at work go on as is its nature, or stop if it was told to and mostly heeds that.
    fn advance(&self, build: &mut Simulation, choice: usize) {
        let at_work: Vec<StepIndex> = build.looking_up.iter().chain(&build.running).copied().collect();
        if at_work.is_empty() {
            return;
        }
        let at = at_work[choice % at_work.len()];
        let heeds = build.told.contains(&at) && choice % 8 != 1;
        let nature = (self.natures[at.get()], self.in_cache[at.get()]);
        match (build.looking_up.contains(&at), heeds, nature) {
            (true, true, _) => build.looked_up(at.as_u32(), CacheAnswer::Stopped),
            (true, false, (_, InCache::Hit)) => build.hits(at.as_u32()),
            (true, false, (_, InCache::Miss)) => build.looked_up(at.as_u32(), CacheAnswer::Miss),
            (true, false, (_, InCache::Error)) => {
                build.looked_up(
                    at.as_u32(),
                    CacheAnswer::Errored {
                        causes: vec!["index".to_owned()],
                        fixes: Vec::new(),
                    },
                );
            }
            (false, true, _) => build.stops(at.as_u32()),
            (false, false, (Nature::Passes, _)) => build.exits(at.as_u32(), 0),
            (false, false, (Nature::Fails, _)) => build.exits(at.as_u32(), 3),
            (false, false, (Nature::Errs, _)) => build.errs(at.as_u32(), "no space"),
        }
    }

    /// Makes the moves, then whatever is left to do. Gives the build with the outside reasons and their place among the
    /// events.
    fn play(&self, moves: &[Move]) -> (Simulation, Vec<(usize, CancelReason)>) {
        let mut build = self.begun();
        let mut outside = Vec::new();
        for one in moves {
            if build.verdict.is_some() {
                break;
            }
            let before = build.events.len();
            match one {
                Move::Advance(index) => self.advance(&mut build, *index),
                Move::Cancel(reason) => {
                    outside.push((before, *reason));
                    build.cancel(*reason);
                }
                Move::FireTimer => {
                    if let Some((at, timer)) = build.timers.pop_first() {
                        build.now = build.now.max(at);
                        if timer == hm_exec::Timer::Build {
                            outside.push((before, CancelReason::BuildTimeout));
                        }
                        build.tell(Input::TimerFired(timer));
                    }
                }
            }
            check_no_permit_idles(&build);
        }
        let mut rounds = 0;
        while build.verdict.is_none() {
            assert!(
                !build.running.is_empty() || !build.looking_up.is_empty(),
                "nothing at work and not over: {build:#?}"
            );
            self.advance(&mut build, 0);
            rounds += 1;
            assert!(rounds < 1000, "no end");
        }
        (build, outside)
    }
}

fn to_u32(position: usize) -> u32 {
    u32::try_from(position).expect("graphs of these tests are small")
}

/// The first of each step's events by kind: (queued, started, terminal), as places among the events.
#[derive(Debug, Default)]
struct Life {
    queued: Vec<usize>,
    started: Vec<usize>,
    ended: Vec<usize>,
    status: Option<StepStatus>,
    skipped: Option<SkipReason>,
}

fn lives(build: &Simulation) -> HashMap<StepId, Life> {
    let mut lives: HashMap<StepId, Life> = HashMap::new();
    for (place, event) in build.events.iter().enumerate() {
        match event {
            BuildEvent::StepQueued { step_id, .. } => lives.entry(*step_id).or_default().queued.push(place),
            BuildEvent::StepStart { step_id, .. } => lives.entry(*step_id).or_default().started.push(place),
            BuildEvent::StepEnd { step_id, status, .. } => {
                let life = lives.entry(*step_id).or_default();
                life.ended.push(place);
                life.status = Some(*status);
            }
            BuildEvent::StepSkipped { step_id, reason, .. } => {
                let life = lives.entry(*step_id).or_default();
                life.ended.push(place);
                life.status = Some(StepStatus::Skipped);
                life.skipped = Some(reason.clone());
            }
            _ => {}
        }
    }
    lives
}

fn check_no_permit_idles(build: &Simulation) {
    let stopping = !build.told.is_empty() || build.verdict.is_some();
    if stopping || build.running.len() >= build.state.settings().parallelism.get() {
        return;
    }
    let lives = lives(build);
    let graph = build.pipeline.graph();
    for at in graph
        .indices()
        .filter(|&at| build.state.settings().selection.contains(at))
    {
        let done = |&before: &StepIndex| lives[&build.state.step_id(before)].status.is_some();
        let open = lives[&build.state.step_id(at)].status.is_none();
        let at_work = build.running.contains(&at) || build.looking_up.contains(&at);
        let ready = graph.prerequisites(at).iter().all(done);
        // A step that holds what its look-up took would run: look-ups alone take the turns of others.
        let no_turn = build.looking_up.len() >= build.state.settings().open_lookups.get();
        let waits = graph.step(at).cache.is_some() && no_turn;
        assert!(
            !open || at_work || !ready || waits,
            "{at:?} could run and a permit is free"
        );
    }
}

fn check_frame(build: &Simulation) {
    let is_end = |event: &BuildEvent| matches!(event, BuildEvent::BuildEnd { .. });
    assert!(matches!(build.events.first(), Some(BuildEvent::BuildStart { .. })));
    assert!(build.events.last().is_some_and(is_end));
    assert_eq!(build.events.iter().filter(|event| is_end(event)).count(), 1);
}

fn check_lives(build: &Simulation, lives: &HashMap<StepId, Life>) {
    for at in build.pipeline.graph().indices() {
        let Some(life) = lives.get(&build.state.step_id(at)) else {
            assert!(
                !build.state.settings().selection.contains(at),
                "{at:?} is not among the events"
            );
            continue;
        };
        assert!(
            build.state.settings().selection.contains(at),
            "{at:?} was not asked for"
        );
        assert_eq!((life.queued.len(), life.ended.len()), (1, 1), "{at:?}: {life:?}");
        assert!(life.started.len() <= 1, "{at:?}: {life:?}");
        let places: Vec<_> = life.queued.iter().chain(&life.started).chain(&life.ended).collect();
        assert!(places.is_sorted(), "{at:?}: {life:?}");
        if !life.started.is_empty() {
            assert_ne!(life.status, Some(StepStatus::Skipped), "{at:?}: {life:?}");
        }
    }
}

/// A step gets under way only when all it needs has passed, or it may go on without.
fn check_starts(build: &Simulation, lives: &HashMap<StepId, Life>) {
    let graph = build.pipeline.graph();
    for at in graph.indices() {
        let Some(life) = lives.get(&build.state.step_id(at)) else {
            continue;
        };
        let worked = !matches!(life.status, Some(StepStatus::Skipped));
        for &before in graph.prerequisites(at).iter().filter(|_| worked) {
            let needed = &lives[&build.state.step_id(before)];
            assert!(
                needed.ended[0] < *life.started.first().unwrap_or(&life.ended[0]),
                "{at:?} began before {before:?} ended"
            );
            let good = matches!(needed.status, Some(StepStatus::Passed | StepStatus::Cached));
            let soft = graph.step(before).allow_failure
                && matches!(
                    needed.status,
                    Some(StepStatus::Failed | StepStatus::TimedOut | StepStatus::Errored)
                );
            assert!(
                good || soft || graph.step(at).continue_on_failure,
                "{at:?} ran after {needed:?}"
            );
        }
    }
}

/// A skipped step names a step that ended so, or a reason to stop that there was.
fn check_reasons(lives: &HashMap<StepId, Life>) {
    for life in lives.values() {
        if let Some(SkipReason::Prerequisite { step_id, status, .. }) = &life.skipped {
            let culprit = &lives[step_id];
            assert_eq!(culprit.status, Some(*status));
            assert_ne!(*status, StepStatus::Skipped, "the root cause was not skipped itself");
            assert!(culprit.ended < life.ended);
        }
    }
}

fn counts_as_failure(build: &Simulation, event: &BuildEvent) -> bool {
    let BuildEvent::StepEnd { step_id, status, .. } = event else {
        return false;
    };
    let graph = build.pipeline.graph();
    let at = graph
        .indices()
        .find(|&at| build.state.step_id(at) == *step_id)
        .expect("a step of the build");
    let bad = matches!(status, StepStatus::Failed | StepStatus::TimedOut | StepStatus::Errored);
    bad && !graph.step(at).allow_failure
}

/// The verdict, worked out from the events and outside reasons alone.
fn check_verdict(build: &Simulation, outside: &[(usize, CancelReason)]) {
    let failed_at = build.events.iter().position(|event| counts_as_failure(build, event));
    let counts = |(place, reason): &&(usize, CancelReason)| {
        *reason != CancelReason::StepFailed && failed_at.is_none_or(|failed_at| *place <= failed_at)
    };
    let greatest = outside.iter().filter(counts).map(|(_, reason)| *reason).max();
    let expected = match (greatest, failed_at) {
        (Some(CancelReason::BuildTimeout), _) => BuildStatus::TimedOut,
        (Some(_), _) => BuildStatus::Canceled,
        (None, Some(_)) => BuildStatus::Failed,
        (None, None) => BuildStatus::Passed,
    };
    assert_eq!(
        build.verdict.expect("it is over").status,
        expected,
        "{:#?}",
        build.events
    );
}

fn check_chains(build: &Simulation) {
    let mut seen = BTreeMap::new();
    for (place, event) in build.events.iter().enumerate() {
        if let BuildEvent::ChainFailed {
            chain_idx,
            failed_step_id,
            ..
        } = event
        {
            assert_eq!(seen.insert(chain_idx, place), None, "the chain failed twice");
            let ends =
                |event: &BuildEvent| matches!(event, BuildEvent::StepEnd { step_id, .. } if step_id == failed_step_id);
            assert!(ends(&build.events[place - 1]), "it follows the end of its step");
        }
    }
}

/// What becomes of each step under keep-going when nobody interferes: a question to the graph alone.
fn foretold(plan: &Plan, graph: &PipelineGraph, selection: &Selection) -> Vec<Option<bool>> {
    // None: not taken part; Some(true): dependents may run.
    let mut fine: Vec<Option<bool>> = vec![None; graph.len()];
    let mut left_snapshot = vec![false; graph.len()];
    for &at in graph.topological().iter().filter(|&&at| selection.contains(at)) {
        let step = graph.step(at);
        let blocked = graph.prerequisites(at).iter().any(|before| {
            let bare = graph.parent(at) == Some(*before) && !left_snapshot[before.get()];
            let soft = graph.step(*before).allow_failure;
            match fine[before.get()] {
                Some(true) => soft && bare,
                _ => bare || !step.continue_on_failure,
            }
        });
        let nature = match (step.cache.is_some(), plan.in_cache[at.get()], plan.natures[at.get()]) {
            (true, InCache::Hit, _) => Nature::Passes,
            (true, InCache::Error, _) => Nature::Errs,
            (_, _, nature) => nature,
        };
        let keeps_when_failed = graph
            .children(at)
            .iter()
            .any(|child| selection.contains(*child) && (step.allow_failure || graph.step(*child).continue_on_failure));
        let soft = step.allow_failure && nature != Nature::Passes;
        fine[at.get()] = Some(!blocked && (nature == Nature::Passes || soft));
        left_snapshot[at.get()] =
            !blocked && (nature == Nature::Passes || nature == Nature::Fails && keeps_when_failed);
    }
    fine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn hold_for_every_build(plan in plans(), moves in moves()) {
        let (build, outside) = plan.play(&moves);
        let lives = lives(&build);
        check_frame(&build);
        check_lives(&build, &lives);
        check_starts(&build, &lives);
        check_reasons(&lives);
        check_verdict(&build, &outside);
        check_chains(&build);
    }

    #[test]
    fn the_order_of_ends_changes_nothing_under_keep_going(plan in plans(), order in vec(0..1000_usize, 0..40)) {
        let plan = Plan { keep_going: true, timeout: false, ..plan };
        let moves: Vec<_> = order.into_iter().map(Move::Advance).collect();
        let (build, _) = plan.play(&moves);
        let lives = lives(&build);
        let expected = foretold(&plan, build.pipeline.graph(), &build.state.settings().selection);
        for at in build.pipeline.graph().indices() {
            let life = lives.get(&build.state.step_id(at));
            let soft = build.pipeline.graph().step(at).allow_failure;
            let fine = life.map(|life| match life.status {
                Some(StepStatus::Passed | StepStatus::Cached) => true,
                Some(StepStatus::Failed | StepStatus::TimedOut | StepStatus::Errored) => soft,
                _ => false,
            });
            prop_assert_eq!(fine, expected[at.get()], "{:?}: {:#?}", at, build.events);
        }
    }

    #[test]
    fn nothing_new_starts_after_the_users_cancel(plan in plans(), moves in moves()) {
        let mut build = plan.begun();
        for one in &moves {
            if let (Move::Advance(index), None) = (one, build.verdict) {
                plan.advance(&mut build, *index);
            }
        }
        let started = build.started.clone();
        build.cancel(CancelReason::Interrupt);
        while build.verdict.is_none() {
            plan.advance(&mut build, 0);
        }
        prop_assert_eq!(build.started, started);
    }
}
