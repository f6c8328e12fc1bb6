//! The fold of events into a view.

use std::collections::HashMap;

use hm_plugin_protocol::{
    BuildEvent, BuildStatus, BuildView, CancelReason, Counts, PlanSummary, RunId, SkipReason, StepId, StepPhase,
    StepStatus, Stream, Usage, Verdict,
};
use proptest::prelude::*;
use uuid::Uuid;

fn id(step: u8) -> StepId {
    StepId(Uuid::from_u128(u128::from(step)))
}

fn queued(step: u8) -> BuildEvent {
    BuildEvent::StepQueued {
        step_id: id(step),
        key: format!("k{step}"),
        chain_idx: u32::from(step),
        parent_key: None,
        display_name: format!("step {step}"),
    }
}

fn start(step: u8) -> BuildEvent {
    BuildEvent::StepStart {
        step_id: id(step),
        runner: "vm".to_owned(),
        image: Some("host".to_owned()),
    }
}

fn log(step: u8) -> BuildEvent {
    BuildEvent::StepLog {
        step_id: id(step),
        stream: Stream::Stdout,
        line: "x".to_owned(),
        ts: String::new(),
    }
}

fn hit(step: u8) -> BuildEvent {
    BuildEvent::StepCacheHit {
        step_id: id(step),
        key: format!("k{step}"),
        tag: "t".to_owned(),
    }
}

fn end(step: u8, status: StepStatus) -> BuildEvent {
    BuildEvent::StepEnd {
        step_id: id(step),
        exit_code: 1,
        duration_ms: 5,
        snapshot: None,
        status,
        causes: Vec::new(),
        fixes: Vec::new(),
    }
}

fn skipped(step: u8) -> BuildEvent {
    let reason = SkipReason::Stopped {
        reason: CancelReason::StepFailed,
    };
    BuildEvent::StepSkipped {
        step_id: id(step),
        key: format!("k{step}"),
        reason,
    }
}

fn fold<'e>(events: impl IntoIterator<Item = &'e BuildEvent>) -> BuildView {
    let mut view = BuildView::new();
    events.into_iter().for_each(|event| view.apply(event));
    view
}

#[test]
fn a_build_is_followed_to_its_verdict() {
    let run = RunId(Uuid::from_u128(100));
    let plan = PlanSummary {
        step_count: 4,
        chain_count: 4,
        default_runner: "vm".to_owned(),
    };
    let mut view = fold(&[
        BuildEvent::BuildStart {
            schema_version: "1".to_owned(),
            run_id: run,
            plan: plan.clone(),
            started_at: "2025-01-02T03:04:05Z".to_owned(),
        },
        queued(0),
        queued(1),
        queued(2),
        queued(3),
        start(0),
        log(0),
        log(0),
        hit(1),
        log(1),
    ]);
    assert_eq!(
        (view.run_id(), view.plan(), view.started_at()),
        (Some(run), Some(&plan), Some("2025-01-02T03:04:05Z"))
    );
    assert_eq!(
        view.counts(),
        Counts {
            queued: 2,
            running: 2,
            ..Counts::default()
        }
    );
    assert_eq!(view.verdict(), None);
    let first = view.step(id(0)).unwrap();
    assert_eq!(
        (first.lines, first.runner.as_deref(), first.image.as_deref()),
        (2, Some("vm"), Some("host"))
    );
    assert_eq!(view.step(id(1)).unwrap().cache_tag.as_deref(), Some("t"));

    for event in [
        BuildEvent::StepUsage {
            step_id: id(0),
            cpu_ms: 1,
            max_rss_bytes: 2,
            read_bytes: 3,
            write_bytes: 4,
        },
        end(0, StepStatus::Failed),
        end(1, StepStatus::Cached),
        skipped(2),
        skipped(3),
        BuildEvent::BuildEnd {
            exit_code: 1,
            duration_ms: 9,
            status: BuildStatus::Failed,
        },
    ] {
        view.apply(&event);
    }
    assert_eq!(
        view.counts(),
        Counts {
            failed: 1,
            cached: 1,
            skipped: 2,
            ..Counts::default()
        }
    );
    assert_eq!(
        view.verdict(),
        Some(Verdict {
            status: BuildStatus::Failed,
            exit_code: 1,
            duration_ms: 9
        })
    );
    let usage = Usage {
        cpu_ms: 1,
        max_rss_bytes: 2,
        read_bytes: 3,
        write_bytes: 4,
    };
    assert_eq!(view.step(id(0)).unwrap().usage, Some(usage));
    assert_eq!(view.step(id(2)).unwrap().phase.status(), Some(StepStatus::Skipped));
}

#[test]
fn events_about_unknown_steps_change_nothing() {
    assert_eq!(
        fold(&[start(1), log(1), hit(1), end(1, StepStatus::Passed), skipped(1)]),
        BuildView::new()
    );
}

#[test]
fn the_first_terminal_event_stands() {
    let view = fold(&[
        queued(0),
        start(0),
        end(0, StepStatus::Passed),
        end(0, StepStatus::Failed),
        start(0),
    ]);
    assert_eq!(
        view.counts(),
        Counts {
            passed: 1,
            ..Counts::default()
        }
    );
}

fn any_event() -> impl Strategy<Value = BuildEvent> {
    let status = prop_oneof![
        Just(StepStatus::Passed),
        Just(StepStatus::Cached),
        Just(StepStatus::Failed),
        Just(StepStatus::TimedOut),
        Just(StepStatus::Canceled),
        Just(StepStatus::Errored),
        Just(StepStatus::Flaky),
    ];
    let step = 0_u8..6;
    prop_oneof![
        step.clone().prop_map(queued),
        step.clone().prop_map(start),
        step.clone().prop_map(log),
        step.clone().prop_map(hit),
        step.clone().prop_map(skipped),
        (step, status).prop_map(|(step, status)| end(step, status)),
    ]
}

proptest! {
    #[test]
    fn counts_are_those_of_the_steps_in_any_order_of_events(events in prop::collection::vec(any_event(), 0..60)) {
        let view = fold(&events);
        let mut by_status: HashMap<Option<StepStatus>, u32> = HashMap::new();
        let mut queued = 0;
        for step in view.steps() {
            queued += u32::from(step.phase == StepPhase::Queued);
            *by_status.entry(step.phase.status()).or_default() += 1;
            prop_assert_eq!(view.step(step.id), Some(step));
        }
        let of = |status| by_status.get(&status).copied().unwrap_or_default();
        let counts = view.counts();
        prop_assert_eq!(counts.total() as usize, view.steps().len());
        prop_assert_eq!(counts.queued, queued);
        prop_assert_eq!(counts.queued + counts.running, of(None));
        prop_assert_eq!(counts.passed, of(Some(StepStatus::Passed)));
        prop_assert_eq!(counts.cached, of(Some(StepStatus::Cached)));
        prop_assert_eq!(counts.failed, of(Some(StepStatus::Failed)));
        prop_assert_eq!(counts.timed_out, of(Some(StepStatus::TimedOut)));
        prop_assert_eq!(counts.canceled, of(Some(StepStatus::Canceled)));
        prop_assert_eq!(counts.skipped, of(Some(StepStatus::Skipped)));
        prop_assert_eq!(counts.errored, of(Some(StepStatus::Errored)));
        prop_assert_eq!(counts.flaky, of(Some(StepStatus::Flaky)));
    }
}
