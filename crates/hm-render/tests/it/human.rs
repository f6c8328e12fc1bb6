//! The log for people, whole.

use crate::support::{build, chain_failed, draw, end, hit, id, log, over, queued, skipped, start};
use hm_plugin_protocol::{BuildEvent, BuildStatus, CancelReason, SkipReason, StepStatus, Stream};
use hm_render::{HumanRenderer, HumanSettings};

fn plain(events: Vec<BuildEvent>) -> String {
    draw(&mut HumanRenderer::new(HumanSettings::default()), events)
}

fn colored(events: Vec<BuildEvent>) -> String {
    let settings = HumanSettings {
        color: true,
        cached_logs: false,
    };
    draw(&mut HumanRenderer::new(settings), events).replace('\u{1b}', "␛")
}

fn passing() -> Vec<BuildEvent> {
    let mut events = build(3);
    events.extend([
        queued(0, "tools", ":package: tools"),
        queued(1, "build", "make\n  all"),
        queued(2, "docs", "Docs"),
        hit(0, "tools"),
        log(0, Stream::Stdout, "Reading package lists"),
        log(0, Stream::Note, "replayed from build 11"),
        end(0, StepStatus::Cached, 0, 0),
        start(1, None),
        start(2, Some("debian:12")),
        log(1, Stream::Stdout, "cc \u{1b}[32mmain.c\u{1b}[0m"),
        log(2, Stream::Stderr, "\u{1b}[2J\u{1b}[31mwarning"),
        log(1, Stream::Note, "on_change: `deps.lock` matches nothing"),
        end(2, StepStatus::Passed, 0, 812),
        end(1, StepStatus::Passed, 0, 62_345),
        over(BuildStatus::Passed, 0, 62_900),
    ]);
    events
}

fn failing() -> Vec<BuildEvent> {
    let mut events = build(5);
    events.extend([
        queued(0, "build", "make"),
        queued(1, "slow", "sleep 100"),
        queued(2, "test", "make check"),
        queued(3, "other", "true"),
        queued(4, "budget", "sleep 9"),
        start(0, Some("host")),
        start(1, Some("host")),
        start(4, Some("host")),
    ]);
    events.extend((1..=12).map(|line| log(0, Stream::Stdout, &format!("line {line}"))));
    let because = SkipReason::Prerequisite {
        step_id: id(0),
        key: "build".to_owned(),
        status: StepStatus::Failed,
    };
    events.extend([
        log(1, Stream::Stdout, "sleeping"),
        end(4, StepStatus::TimedOut, 124, 1000),
        end(0, StepStatus::Failed, 2, 3_456),
        chain_failed(0, "build"),
        skipped(2, "test", because),
        skipped(
            3,
            "other",
            SkipReason::Stopped {
                reason: CancelReason::StepFailed,
            },
        ),
        end(1, StepStatus::Canceled, 143, 3_500),
        over(BuildStatus::Failed, 1, 3_600),
    ]);
    events
}

#[test]
fn a_build_that_passes() {
    insta::assert_snapshot!(plain(passing()));
}

#[test]
fn a_build_that_passes_in_colour() {
    insta::assert_snapshot!(colored(passing()));
}

#[test]
fn a_build_that_fails() {
    insta::assert_snapshot!(plain(failing()));
}

#[test]
fn a_build_that_fails_in_colour() {
    insta::assert_snapshot!(colored(failing()));
}

#[test]
fn the_logs_of_cached_steps_on_request() {
    let settings = HumanSettings {
        color: false,
        cached_logs: true,
    };
    let shown = draw(&mut HumanRenderer::new(settings), passing());
    assert!(shown.contains("[tools] (cached) Reading package lists\n"), "{shown}");
}

#[test]
fn a_step_that_could_not_be_run_shows_its_causes() {
    let mut events = build(1);
    events.extend([
        queued(0, "a", "true"),
        start(0, Some("moon")),
        BuildEvent::StepEnd {
            step_id: id(0),
            exit_code: 125,
            duration_ms: 3,
            snapshot: None,
            status: StepStatus::Errored,
            causes: vec![
                "can't resolve the image \"moon\"".to_owned(),
                "no such\nplace".to_owned(),
            ],
            fixes: vec!["hm image pull moon".to_owned()],
        },
        over(BuildStatus::Failed, 1, 5),
    ]);
    insta::assert_snapshot!(plain(events));
}

#[test]
fn an_interrupted_build() {
    let mut events = build(2);
    events.extend([
        queued(0, "a", "sleep 9"),
        queued(1, "b", "true"),
        start(0, Some("host")),
        skipped(
            1,
            "b",
            SkipReason::Stopped {
                reason: CancelReason::Interrupt,
            },
        ),
        end(0, StepStatus::Canceled, 130, 500),
        over(BuildStatus::Canceled, 130, 600),
    ]);
    insta::assert_snapshot!(plain(events));
}

#[test]
fn a_build_over_its_budget() {
    let mut events = build(1);
    events.extend([
        queued(0, "a", "sleep 9"),
        start(0, Some("host")),
        end(0, StepStatus::Canceled, 143, 500),
        over(BuildStatus::TimedOut, 124, 600),
    ]);
    insta::assert_snapshot!(plain(events));
}

#[test]
fn an_empty_build() {
    let mut events = build(0);
    events.push(over(BuildStatus::Passed, 0, 1));
    insta::assert_snapshot!(plain(events));
}
