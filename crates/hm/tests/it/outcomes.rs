//! How builds and steps end, and the exit code of the process.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Door, Ir, Lab};

#[test]
fn a_step_that_exits_3_fails_the_build_with_1() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("bad", "exit 3"));
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(run.end("bad")["exit_code"], 3);
    assert_eq!(run.status("bad"), "failed");
    let end = run.events.last().unwrap();
    assert_eq!(
        (&end["kind"], &end["status"], &end["exit_code"]),
        (&json!("build_end"), &json!("failed"), &json!(1))
    );
    assert_eq!(run.kinds("chain_failed")[0]["failed_step_key"], "bad");
}

#[test]
fn a_failure_cancels_what_runs_and_skips_what_waits() {
    let lab = Lab::new();
    let door = Door::new();
    let ir = Ir::new()
        .step("running", "echo up; sleep 1000")
        .step("bad", &format!("{}; exit 3", door.wait_command()))
        .step("child", "true")
        .builds_in("bad")
        .step("late", "true")
        .after("running");
    let mut live = lab.start(&ir, &["--parallelism", "2"]);
    live.wait_for_line("up");
    door.open();
    let run = live.finish();
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(run.status("running"), "canceled");
    assert_eq!(run.status("bad"), "failed");
    assert_eq!(run.status("child"), "skipped");
    assert_eq!(run.end("child")["reason"]["key"], "bad", "{run:#?}");
    assert_eq!(run.status("late"), "skipped");
    assert!(run.end("late")["reason"].is_object(), "{run:#?}");
}

#[test]
fn keep_going_runs_independent_steps_after_a_failure() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("bad", "exit 1")
        .step("child", "true")
        .builds_in("bad")
        .step("other", "true")
        .step("anyway", "true")
        .with("continue_on_failure", json!(true))
        .after("bad");
    let run = lab.run_with(&ir, &["--keep-going", "--parallelism", "1"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.status("child"), "skipped");
    assert_eq!(run.status("other"), "passed");
    assert_eq!(run.status("anyway"), "passed");
}

#[test]
fn a_failure_that_is_allowed_does_not_fail_the_build() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("soft", "exit 9")
        .with("allow_failure", json!(true))
        .step("next", "true")
        .after("soft");
    let run = lab.run(&ir).passed();
    assert_eq!(run.status("soft"), "failed");
    assert_eq!(run.status("next"), "passed");
}

#[test]
fn interrupt_cancels_with_130_and_terminate_with_143() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let lab = Lab::new();
        let ir = Ir::new()
            .step("running", "echo up; sleep 1000")
            .step("next", "true")
            .after("running");
        let mut live = lab.start(&ir, &[]);
        live.wait_for_line("up");
        live.signal(signal);
        let run = live.finish();
        assert_eq!(run.code, Some(code), "{run:#?}");
        assert_eq!(run.status("running"), "canceled");
        assert_eq!(run.status("next"), "skipped");
        assert_eq!(run.events.last().unwrap()["status"], "canceled");
    }
}

/// A file without blocks that takes long to read.
fn make_slow_to_capture(lab: &Lab) {
    lab.write("large", "");
    let file = fs::File::options().write(true).open(lab.tree().join("large")).unwrap();
    file.set_len(1 << 40).unwrap();
}

#[test]
fn a_signal_while_the_tree_is_captured_ends_the_run_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let lab = Lab::new();
        make_slow_to_capture(&lab);
        let live = lab.start(&Ir::new().step("s", "true"), &[]);
        live.wait_until_signals_are_caught();
        live.signal(signal);
        let run = live.finish();
        assert_eq!(run.code, Some(code), "{run:#?}");
        assert_eq!(run.events.len(), 1, "{run:#?}");
        assert_eq!(run.events[0]["code"], "cancelled");
        assert_eq!(fs::read_dir(lab.store().join("live")).unwrap().count(), 0);
    }
}

#[test]
fn a_step_gets_term_first_and_may_clean_up() {
    let lab = Lab::new();
    let ir = Ir::new().step(
        "running",
        "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 1000 & wait; done",
    );
    let mut live = lab.start(&ir, &[]);
    live.wait_for_line("up");
    live.signal(Signal::INT);
    let run = live.finish();
    assert_eq!(run.code, Some(130));
    assert_eq!(run.status("running"), "canceled");
    assert!(run.stdout("running").contains(&"bye"), "{run:#?}");
}

#[test]
fn a_step_that_ignores_term_is_killed_after_the_grace_period() {
    let lab = Lab::new();
    let ir = Ir::new().step("stubborn", "trap '' TERM; echo up; while true; do sleep 1000; done");
    let mut command = lab.run_command(&ir);
    command.env("HM_GRACE_SECONDS", "1").args(["--timeout", "2s"]);
    let run = crate::support::Run::of(&command.output().unwrap());
    assert_eq!(run.code, Some(124), "{run:#?}");
    assert_eq!(run.status("stubborn"), "canceled");
}

#[test]
fn a_step_over_its_budget_ends_with_124_and_fails_the_build_with_1() {
    let lab = Lab::new();
    let ir = Ir::new().step("slow", "sleep 1000").with("timeout_seconds", json!(1));
    let run = lab.run(&ir);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(run.status("slow"), "timed_out");
    assert_eq!(run.end("slow")["exit_code"], 124);
}

#[test]
fn a_build_over_its_budget_ends_with_124() {
    let lab = Lab::new();
    let ir = Ir::new().step("slow", "sleep 1000").step("next", "true").after("slow");
    let run = lab.run_with(&ir, &["--timeout", "1s"]);
    assert_eq!(run.code, Some(124), "{run:#?}");
    assert_eq!(run.status("slow"), "canceled");
    assert_eq!(run.status("next"), "skipped");
    assert_eq!(run.events.last().unwrap()["status"], "timed_out");
}

#[test]
fn a_step_killed_by_a_signal_reports_128_and_the_signal() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("suicide", "kill -KILL $$"));
    assert_eq!(run.end("suicide")["exit_code"], 137, "{run:#?}");
}

#[test]
fn background_processes_end_with_their_step() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("leaves", "sleep 86399 & echo done")).passed();
    assert_eq!(run.stdout("leaves"), ["done"]);
    assert!(
        !crate::support::is_running("sleep\u{0}86399\u{0}"),
        "the background process is gone"
    );
}

#[test]
fn an_empty_pipeline_passes() {
    Lab::new().run(&Ir::new()).passed();
}

#[test]
fn only_the_named_step_and_what_it_needs_run() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("base", "true")
        .step("wanted", "true")
        .builds_in("base")
        .step("other", "exit 1");
    let run = lab.run_with(&ir, &["--step", "wanted"]).passed();
    assert_eq!(run.status("base"), "passed");
    assert_eq!(run.status("wanted"), "passed");
    assert!(run.kinds("step_start").len() == 2, "{run:#?}");
}
