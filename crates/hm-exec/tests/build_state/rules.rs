//! The rules of scheduling, one at a time.

use std::num::NonZeroUsize;
use std::time::Duration;

use hm_exec::{BuildState, CacheAnswer, Effect, Input, Selection, Timer};
use hm_pipeline_ir::{StepIndex, StepKey};
use hm_plugin_protocol::{BuildEvent, CancelReason};
use serde_json::json;

use crate::pipelines::{Node, pipeline, step};
use crate::simulation::{Simulation, settings};

fn begun(nodes: &[Node]) -> Simulation {
    Simulation::begun(settings(&pipeline(nodes)))
}

fn keep_going(nodes: &[Node]) -> Simulation {
    let mut settings = settings(&pipeline(nodes));
    settings.keep_going = true;
    Simulation::begun(settings)
}

#[test]
fn an_empty_build_passes_at_once() {
    let build = begun(&[]);
    assert_eq!(build.exit_code(), 0);
    assert_eq!(build.events.len(), 2, "start and end: {:?}", build.events);
}

#[test]
fn steps_run_in_order_and_the_build_passes() {
    let mut build = begun(&[step("a"), step("b").on(0), step("c").after(1)]);
    assert_eq!(build.fates(), ["open", "open", "open"]);
    build.exits(0, 0);
    build.exits(1, 0);
    build.exits(2, 0);
    assert_eq!(build.fates(), ["Passed 0", "Passed 0", "Passed 0"]);
    assert_eq!(build.exit_code(), 0);
}

#[test]
fn a_failure_cancels_siblings_and_is_still_a_failure() {
    let mut build = begun(&[
        step("bad"),
        step("sibling"),
        step("child").on(0),
        step("later").after(1),
    ]);
    build.exits(0, 3);
    build.stops(1);
    assert_eq!(
        build.fates(),
        ["Failed 3", "Canceled 143", "skipped: bad Failed", "skipped: StepFailed"]
    );
    assert_eq!(build.exit_code(), 1);
}

#[test]
fn what_is_known_of_a_failure_is_told_with_it() {
    let mut build = begun(&[step("hungry"), step("child").on(0)]);
    build.exits_because(0, 137, Some("out of memory: at 64 MiB"));
    assert_eq!(build.fates(), ["Failed 137", "skipped: hungry Failed"]);
    let causes = build.events.iter().find_map(|event| match event {
        BuildEvent::StepEnd { causes, .. } => Some(causes.clone()),
        _ => None,
    });
    assert_eq!(causes.unwrap(), ["out of memory: at 64 MiB"]);
    let told = build.events.iter().find_map(|event| match event {
        BuildEvent::ChainFailed { message, .. } => Some(message.clone()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.ends_with("exited with 137: out of memory: at 64 MiB"), "{told}");
}

#[test]
fn keep_going_leaves_independent_branches_alone() {
    let mut build = keep_going(&[
        step("bad"),
        step("good"),
        step("child").on(0),
        step("grandchild").on(2),
        step("later").after(1),
    ]);
    build.exits(0, 3);
    build.exits(1, 0);
    build.exits(4, 0);
    let skipped = "skipped: bad Failed";
    assert_eq!(
        build.fates(),
        ["Failed 3", "Passed 0", skipped, skipped, "Passed 0"],
        "the reason is the root cause"
    );
    assert_eq!(build.exit_code(), 1);
}

#[test]
fn a_step_that_continues_on_failure_runs_under_fail_fast_too() {
    let notify = step("notify").after(0).after(1).with("continue_on_failure", true);
    let mut build = begun(&[
        step("bad"),
        step("other").after(0),
        notify,
        step("after notify").after(2),
    ]);
    build.exits(0, 1);
    assert_eq!(build.fates()[3], "skipped: StepFailed");
    build.exits(2, 0);
    assert_eq!(build.fates()[..3], ["Failed 1", "skipped: bad Failed", "Passed 0"]);
    assert_eq!(build.exit_code(), 1);
}

#[test]
fn a_step_that_continues_on_failure_is_not_stopped_by_one_but_is_by_the_user() {
    let mut build = begun(&[step("bad"), step("cleanup").with("continue_on_failure", true)]);
    build.exits(0, 1);
    assert!(build.told.is_empty());
    build.cancel(CancelReason::Interrupt);
    build.stops(1);
    assert_eq!(build.fates(), ["Failed 1", "Canceled 130"]);
    assert_eq!(build.exit_code(), 1, "it had failed before the user lost patience");
}

#[test]
fn a_child_that_continues_on_failure_boots_from_what_the_failed_step_left() {
    let mut build = begun(&[step("bad"), step("collect").on(0).with("continue_on_failure", true)]);
    assert_eq!(build.keeps[&StepIndex::new(0)], (true, true));
    build.exits(0, 1);
    build.exits(1, 0);
    assert_eq!(build.fates(), ["Failed 1", "Passed 0"]);
}

#[test]
fn without_a_snapshot_such_a_child_has_nothing_to_boot_from() {
    let mut build = begun(&[step("bad"), step("collect").on(0).with("continue_on_failure", true)]);
    build.errs(0, "no space");
    assert_eq!(build.fates(), ["Errored 125", "skipped: bad Errored"]);
}

#[test]
fn an_allowed_failure_fails_nothing() {
    let mut build = begun(&[
        step("flaky").with("allow_failure", true),
        step("child").on(0),
        step("next").after(0),
    ]);
    build.exits(0, 7);
    build.exits(1, 0);
    build.exits(2, 0);
    assert_eq!(build.fates(), ["Failed 7", "Passed 0", "Passed 0"]);
    assert_eq!(build.exit_code(), 0);
    assert!(
        !build
            .events
            .iter()
            .any(|event| matches!(event, BuildEvent::ChainFailed { .. }))
    );
}

#[test]
fn an_engine_error_counts_as_failure_and_tells_its_causes() {
    let mut build = begun(&[step("a"), step("b")]);
    build.errs(0, "no space left on device");
    build.stops(1);
    assert_eq!(build.fates(), ["Errored 125", "Canceled 143"]);
    assert_eq!(build.exit_code(), 1);
    let told = build
        .events
        .iter()
        .any(|event| matches!(event, BuildEvent::StepEnd { causes, fixes, .. } if causes == &["no space left on device"] && fixes == &["mend no space left on device"]));
    assert!(told, "{:?}", build.events);
}

#[test]
fn the_user_cancels() {
    for (reason, exit_code) in [(CancelReason::Interrupt, 130), (CancelReason::Terminate, 143)] {
        let mut build = begun(&[step("a"), step("b").on(0)]);
        build.cancel(reason);
        assert_eq!(build.fates()[1], format!("skipped: {reason:?}"));
        build.stops(0);
        assert_eq!(build.fates()[0], format!("Canceled {exit_code}"));
        assert_eq!(build.exit_code(), exit_code);
    }
}

#[test]
fn only_a_greater_reason_acts() {
    let mut build = begun(&[step("a")]);
    build.cancel(CancelReason::Interrupt);
    build.cancel(CancelReason::Terminate);
    build.stops(0);
    assert_eq!(build.fates(), ["Canceled 130"]);
    assert_eq!(build.exit_code(), 130);

    let mut build = begun(&[step("a")]);
    build.cancel(CancelReason::Terminate);
    build.cancel(CancelReason::Interrupt);
    build.stops(0);
    assert_eq!(build.fates(), ["Canceled 130"]);
    assert_eq!(build.exit_code(), 130);
}

#[test]
fn a_step_failing_is_nothing_that_outsiders_may_claim() {
    let mut build = begun(&[step("a")]);
    build.cancel(CancelReason::StepFailed);
    build.exits(0, 0);
    assert_eq!(build.exit_code(), 0);
}

#[test]
fn a_failure_after_the_users_cancel_stays_canceled() {
    let mut build = begun(&[step("a")]);
    build.cancel(CancelReason::Interrupt);
    build.exits(0, 2);
    assert_eq!(build.fates(), ["Failed 2"]);
    assert_eq!(build.exit_code(), 130);
}

#[test]
fn the_budget_of_the_build() {
    let mut settings = settings(&pipeline(&[step("a"), step("b").on(0)]));
    settings.timeout = Some(Duration::from_mins(1));
    let mut build = Simulation::begun(settings);
    assert!(build.timers.contains(&(Duration::from_mins(1), Timer::Build)));
    build.tell(Input::TimerFired(Timer::Build));
    build.stops(0);
    assert_eq!(build.fates(), ["Canceled 143", "skipped: BuildTimeout"]);
    assert_eq!(build.exit_code(), 124);
}

#[test]
fn the_budget_of_a_step() {
    let mut build = begun(&[step("slow").with("timeout_seconds", 5), step("child").on(0)]);
    let timer = Timer::Step(StepIndex::new(0));
    assert!(
        build.timers.contains(&(Duration::from_secs(6), timer)),
        "it started at one second: {:?}",
        build.timers
    );
    build.tell(Input::TimerFired(timer));
    build.stops(0);
    assert_eq!(build.fates(), ["TimedOut 124", "skipped: slow TimedOut"]);
    assert_eq!(build.exit_code(), 1);
}

#[test]
fn a_budget_that_runs_out_after_the_step_is_nothing() {
    let mut build = begun(&[step("fast").with("timeout_seconds", 5), step("child").on(0)]);
    build.exits(0, 0);
    build.tell(Input::TimerFired(Timer::Step(StepIndex::new(0))));
    build.exits(1, 0);
    assert_eq!(build.exit_code(), 0);
}

#[test]
fn a_hit_takes_no_permit_and_a_miss_does() {
    let mut settings = settings(&pipeline(&[
        step("busy"),
        step("hit").cached(),
        step("miss").cached(),
        step("on hit").on(1),
    ]));
    settings.parallelism = NonZeroUsize::MIN;
    let mut build = Simulation::begun(settings);
    build.hits(1);
    build.looked_up(2, CacheAnswer::Miss);
    assert_eq!(build.fates(), ["open", "Cached 0", "open", "open"]);
    assert_eq!(build.replayed, [StepIndex::new(1)]);
    assert_eq!(build.started, [StepIndex::new(0)]);
    build.exits(0, 0);
    build.exits(2, 0);
    build.exits(3, 0);
    assert_eq!(build.exit_code(), 0);
}

#[test]
fn a_look_up_that_fails_is_an_engine_error_of_its_step() {
    let mut build = begun(&[step("a").cached(), step("b").on(0)]);
    build.looked_up(
        0,
        CacheAnswer::Errored {
            causes: vec!["index is damaged".to_owned()],
            fixes: Vec::new(),
        },
    );
    assert_eq!(build.fates(), ["Errored 125", "skipped: a Errored"]);
    assert_eq!(build.exit_code(), 1);
}

#[test]
fn a_cancel_during_a_look_up_waits_for_it_and_skips_the_step() {
    for hit in [true, false] {
        let mut build = begun(&[step("a").cached()]);
        build.cancel(CancelReason::Interrupt);
        assert_eq!(build.verdict, None);
        if hit {
            build.hits(0);
        } else {
            build.looked_up(0, CacheAnswer::Stopped);
        }
        assert_eq!(build.fates(), ["skipped: Interrupt"]);
        assert_eq!(build.exit_code(), 130);
    }
}

#[test]
fn the_longest_remaining_path_goes_first() {
    let nodes = [
        step("short"),
        step("long"),
        step("tail").after(1),
        step("middle"),
        step("end").after(2),
    ];
    let mut settings = settings(&pipeline(&nodes));
    settings.parallelism = NonZeroUsize::MIN;
    let build = Simulation::begun(settings.clone());
    assert_eq!(
        build.started,
        [StepIndex::new(1)],
        "three steps deep, all of unknown length"
    );

    let known = |at: StepIndex| {
        (at.as_u32() == 3)
            .then(|| Duration::from_secs(10))
            .or(Some(Duration::from_secs(1)))
    };
    let mut state = BuildState::new(settings, &known);
    let mut effects = Vec::new();
    state.apply(Duration::ZERO, Input::Begin, &mut effects);
    let first = effects.iter().find_map(|effect| match effect {
        Effect::Start { step, .. } => Some(*step),
        _ => None,
    });
    assert_eq!(first, Some(StepIndex::new(3)), "known to take ten times as long");
}

#[test]
fn a_selection_takes_what_it_needs_along_and_nothing_else() {
    let pipeline = pipeline(&[
        step("a"),
        step("b").on(0),
        step("c").on(1),
        step("d").after(1),
        step("e"),
    ]);
    let mut settings = settings(&pipeline);
    settings.selection = Selection::with_needs(pipeline.graph(), &[StepKey::new("c")]).expect("c is there");
    let mut build = Simulation::begun(settings);
    build.exits(0, 0);
    build.exits(1, 0);
    build.exits(2, 0);
    assert_eq!(build.fates(), ["Passed 0", "Passed 0", "Passed 0", "open", "open"]);
    assert_eq!(build.exit_code(), 0);
    assert_eq!(build.keeps[&StepIndex::new(2)], (false, false), "nothing boots from it");
    assert!(matches!(&build.events[0], BuildEvent::BuildStart { plan, .. } if plan.step_count == 3));

    let unknown = Selection::with_needs(pipeline.graph(), &[StepKey::new("x")]).expect_err("x is not there");
    assert_eq!(unknown.key.as_str(), "x");
}

#[test]
fn a_chain_fails_once_at_its_first_failure() {
    let collect = step("collect").on(0).with("continue_on_failure", true);
    let mut build = keep_going(&[step("bad"), collect, step("other")]);
    build.exits(0, 1);
    build.exits(1, 2);
    build.exits(2, 1);
    let failed = build.events.iter().filter_map(|event| match event {
        BuildEvent::ChainFailed {
            failed_step_key,
            exit_code,
            message,
            ..
        } => Some(json!([failed_step_key, exit_code, message])),
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    assert_eq!(
        failed,
        [
            json!(["bad", 1, "run bad exited with 1"]),
            json!(["other", 1, "run other exited with 1"])
        ]
    );
}

#[test]
fn an_unasked_stop_is_the_runners_fault() {
    let mut build = begun(&[step("a")]);
    build.stops(0);
    assert_eq!(build.fates(), ["Errored 125"]);
}

#[test]
fn times_come_from_the_inputs() {
    let mut build = begun(&[step("a")]);
    build.now = Duration::from_secs(10);
    build.exits(0, 4);
    let end = build.events.iter().find_map(|event| match event {
        BuildEvent::StepEnd { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    assert_eq!(end, Some(10_000));
    let at = build.events.iter().find_map(|event| match event {
        BuildEvent::ChainFailed { ts, .. } => Some(ts.clone()),
        _ => None,
    });
    assert_eq!(at.as_deref(), Some("1970-01-01T00:00:11Z"));
}

#[test]
fn a_step_over_its_budget_stays_so_when_the_build_is_canceled() {
    let mut build = begun(&[step("slow").with("timeout_seconds", 5)]);
    build.tell(Input::TimerFired(Timer::Step(StepIndex::new(0))));
    build.cancel(CancelReason::Interrupt);
    build.stops(0);
    assert_eq!(build.fates(), ["TimedOut 124"]);
    assert_eq!(build.exit_code(), 130);
}

#[test]
fn what_a_look_up_holds_is_given_up_where_the_step_is_skipped() {
    let mut settings = settings(&pipeline(&[
        step("bad"),
        step("miss").cached(),
        step("asked").cached(),
        step("plain"),
    ]));
    settings.parallelism = NonZeroUsize::MIN;
    let mut build = Simulation::begun(settings);
    build.looked_up(1, CacheAnswer::Miss);
    build.exits(0, 1);
    build.looked_up(2, CacheAnswer::Stopped);
    let skipped = "skipped: StepFailed";
    assert_eq!(build.fates(), ["Failed 1", skipped, skipped, skipped]);
    let given_up: Vec<u32> = build.abandoned.iter().map(|at| at.as_u32()).collect();
    assert_eq!(given_up, [1, 2], "only what was looked up holds something");
}

#[test]
fn steps_are_looked_up_in_turn_and_the_longest_remaining_path_first() {
    let mut settings = settings(&pipeline(&[
        step("a").cached(),
        step("b").cached(),
        step("long").cached(),
        step("after long").on(2),
    ]));
    settings.parallelism = NonZeroUsize::MIN;
    settings.open_lookups = NonZeroUsize::new(2).expect("two is not zero");
    let mut build = Simulation::begun(settings);
    let asked = |build: &Simulation| -> Vec<u32> { build.looking_up.iter().map(|at| at.as_u32()).collect() };
    assert_eq!(asked(&build), [0, 2]);
    build.looked_up(2, CacheAnswer::Miss);
    assert_eq!(asked(&build), [0, 1], "it runs and holds nothing for later");
    build.looked_up(0, CacheAnswer::Miss);
    build.looked_up(1, CacheAnswer::Miss);
    assert_eq!(build.holding.len(), 2, "both wait for the permit");
    build.exits(2, 0);
    assert_eq!(asked(&build), [0_u32; 0]);
    while build.verdict.is_none() {
        let running = build.running.first().expect("something runs").as_u32();
        build.exits(running, 0);
    }
    assert_eq!(build.exit_code(), 0);
}

#[test]
fn a_step_whose_turn_has_not_come_is_never_looked_up_once_the_build_stops() {
    let mut settings = settings(&pipeline(&[step("asked").cached(), step("waits").cached()]));
    settings.open_lookups = NonZeroUsize::MIN;
    let mut build = Simulation::begun(settings);
    build.cancel(CancelReason::Interrupt);
    build.looked_up(0, CacheAnswer::Stopped);
    assert_eq!(build.fates(), ["skipped: Interrupt", "skipped: Interrupt"]);
    assert_eq!(build.abandoned.len(), 1, "only what was looked up holds something");
}
