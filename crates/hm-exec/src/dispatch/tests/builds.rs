//! Builds from begin to end. Time is paused: it goes on when everybody waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hm_plugin_protocol::CancelReason;
use serde_json::json;

use super::trials::Trial;
use crate::backend::BuildError;

#[tokio::test(start_paused = true)]
async fn a_chain_passes_with_its_events_in_order() {
    let tried = Trial::new()
        .step("a", "print hello")
        .step("b", "print world; env FROM; env KEPT")
        .on(0)
        .run()
        .await;
    assert_eq!(
        tried.lines(),
        [
            "build start",
            "a queued",
            "b queued",
            "a start",
            "a Stdout: hello",
            "a 7 ms",
            "a Passed 0",
            "b start",
            "b Stdout: world",
            "b Note: FROM=Some(\"caller\")",
            "b Note: KEPT=Some(\"yes\")",
            "b 7 ms",
            "b Passed 0",
            "build Passed 0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn exit_3_fails_the_build_and_cancels_siblings() {
    let trial = Trial::new()
        .step("bad", "sleep 1; exit 3")
        .step("sibling", "sleep 100")
        .step("child", "print x")
        .on(0);
    let tried = trial.step("later", "print x").after(1).run().await;
    assert_eq!(tried.exit_code(), 1);
    assert_eq!(tried.of("bad").last().map(String::as_str), Some("Failed 3"));
    assert_eq!(tried.of("sibling").last().map(String::as_str), Some("Canceled 143"));
    assert!(
        tried.of("child")[1].contains(r#""kind":"prerequisite""#),
        "{:?}",
        tried.of("child")
    );
    assert!(
        tried.of("child")[1].contains(r#""key":"bad","status":"failed""#),
        "{:?}",
        tried.of("child")
    );
    assert_eq!(tried.of("later")[1], r#"{"kind":"stopped","reason":"step_failed"}"#);
    assert_eq!(tried.took, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn keep_going_lets_siblings_end() {
    let mut trial = Trial::new().step("bad", "exit 3").step("sibling", "sleep 100");
    trial.keep_going = true;
    let tried = trial.run().await;
    assert_eq!(tried.exit_code(), 1);
    assert_eq!(tried.of("sibling").last().map(String::as_str), Some("Passed 0"));
    assert_eq!(tried.took, Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn the_user_cancels() {
    for (reason, exit_code) in [(CancelReason::Interrupt, 130), (CancelReason::Terminate, 143)] {
        let trial = Trial::new().step("a", "sleep 100").step("b", "print x").on(0);
        let tried = trial.run_with(|control| control.cancel(reason)).await;
        assert_eq!(tried.exit_code(), exit_code);
        assert_eq!(tried.of("a").last(), Some(&format!("Canceled {exit_code}")));
        assert_eq!(tried.took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_an_interrupt() {
    let tried = Trial::new()
        .step("a", "sleep 100")
        .run_with(|control| control.cancel_token().cancel())
        .await;
    assert_eq!(tried.exit_code(), 130);
}

#[tokio::test(start_paused = true)]
async fn a_build_is_not_over_before_a_stubborn_step_is() {
    let tried = Trial::new()
        .step("a", "stubborn 9")
        .run_with(|control| control.cancel(CancelReason::Interrupt))
        .await;
    assert_eq!(tried.exit_code(), 130);
    assert_eq!(tried.took, Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_the_build() {
    let mut trial = Trial::new().step("a", "sleep 100").step("b", "print x").on(0);
    trial.timeout = Some(Duration::from_secs(30));
    let tried = trial.run().await;
    assert_eq!(tried.exit_code(), 124);
    assert_eq!(tried.of("a").last().map(String::as_str), Some("Canceled 143"));
    assert_eq!(tried.of("b")[1], r#"{"kind":"stopped","reason":"build_timeout"}"#);
    assert_eq!(tried.took, Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_step() {
    let tried = Trial::new()
        .with("a", "sleep 100", &json!({ "timeout_seconds": 5 }))
        .run()
        .await;
    assert_eq!(tried.exit_code(), 1);
    assert_eq!(tried.of("a").last().map(String::as_str), Some("TimedOut 124"));
    assert_eq!(tried.took, Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn budgets_of_many_steps_fire_each_at_its_time() {
    let mut trial = Trial::new();
    trial.keep_going = true;
    for seconds in [7, 3, 5] {
        trial = trial.with(
            &seconds.to_string(),
            "sleep 100",
            &json!({ "timeout_seconds": seconds }),
        );
    }
    let tried = trial.run().await;
    let ended: Vec<_> = tried
        .lines()
        .into_iter()
        .filter(|line| line.contains("TimedOut"))
        .collect();
    assert_eq!(ended, ["3 TimedOut 124", "5 TimedOut 124", "7 TimedOut 124"]);
    assert_eq!(tried.took, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn permits_are_kept() {
    let mut trial = (0..50).fold(Trial::new(), |trial, key| trial.step(&key.to_string(), "sleep 1"));
    trial.parallelism = 5;
    let tried = trial.run().await;
    assert_eq!(tried.exit_code(), 0);
    assert_eq!(tried.runner.most_at_work.load(Ordering::SeqCst), 5);
    assert_eq!(tried.took, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_engine_error_comes_with_all_its_causes() {
    let tried = Trial::new().step("a", "break").step("b", "sleep 100").run().await;
    assert_eq!(tried.exit_code(), 1);
    let end = "Errored 125: can't start the machine: no space left on device";
    assert_eq!(tried.of("a").last().map(String::as_str), Some(end));
    assert_eq!(tried.of("b").last().map(String::as_str), Some("Canceled 143"));
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_fails_its_step_only() {
    let mut trial = Trial::new().step("a", "print x; panic").step("b", "sleep 3");
    trial.keep_going = true;
    let tried = trial.run().await;
    let expected = [
        "queued",
        "start",
        "Stdout: x",
        "Errored 125: the runner panicked: the runner has gone mad",
    ];
    assert_eq!(tried.of("a"), expected);
    assert_eq!(tried.of("b").last().map(String::as_str), Some("Passed 0"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_snapshot_is_noticed_where_it_is_missing() {
    let tried = Trial::new().step("a", "bare").step("b", "print x").on(0).run().await;
    let end = "Errored 125: the runner left no snapshot although steps boot from this one";
    assert_eq!(tried.of("a").last().map(String::as_str), Some(end));
    let tried = Trial::new()
        .cached("a", "print x", "bare hit")
        .step("b", "print x")
        .on(0)
        .run()
        .await;
    assert_eq!(
        tried.of("a"),
        ["queued", "Errored 125: the cached result has no snapshot"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_hit_replays_its_log() {
    let tried = Trial::new().cached("a", "panic", "hit").run().await;
    assert_eq!(tried.exit_code(), 0);
    let expected = ["queued", "hit: tag of a", "Stdout: replayed earlier.log", "Cached 0"];
    assert_eq!(tried.of("a"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_miss_runs_with_what_its_look_up_holds_and_said() {
    let tried = Trial::new().cached("a", "print ran", "miss").run().await;
    assert_eq!(
        tried.of("a"),
        ["queued", "start", "Note: looked up", "Stdout: ran", "7 ms", "Passed 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_look_up_holds_is_dropped_when_its_step_is_skipped() {
    let mut trial = Trial::new()
        .step("bad", "sleep 1; exit 1")
        .cached("a", "print x", "miss")
        .cached("b", "print x", "miss");
    trial.parallelism = 1;
    let tried = trial.run().await;
    assert_eq!(
        tried.of("b").last().map(String::as_str),
        Some(r#"{"kind":"stopped","reason":"step_failed"}"#)
    );
}

#[tokio::test(start_paused = true)]
async fn look_ups_that_fail_or_panic_are_engine_errors() {
    let mut trial = Trial::new()
        .cached("a", "print x", "break")
        .cached("b", "print x", "panic");
    trial.keep_going = true;
    let tried = trial.run().await;
    let broken = "Errored 125: can't start the machine: no space left on device";
    assert_eq!(tried.of("a"), ["queued", broken]);
    assert_eq!(
        tried.of("b"),
        ["queued", "Errored 125: the runner panicked: the cache has gone mad"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_look_ups_under_way_and_those_that_wait_for_a_turn() {
    let trial = (0..200).fold(Trial::new(), |trial, key| {
        trial.cached(&key.to_string(), "print x", "wait")
    });
    let tried = trial.run_with(|control| control.cancel(CancelReason::Interrupt)).await;
    assert_eq!(tried.exit_code(), 130);
    assert!(tried.runner.most_at_work.load(Ordering::SeqCst) <= 64);
    for key in 0..200 {
        assert_eq!(
            tried.of(&key.to_string())[1],
            r#"{"kind":"stopped","reason":"interrupt"}"#
        );
    }
}

#[tokio::test(start_paused = true)]
async fn more_look_ups_than_turns_all_get_theirs() {
    let trial = (0..200).fold(Trial::new(), |trial, key| {
        trial.cached(&key.to_string(), "panic", "hit")
    });
    let tried = trial.step("last", "print x").on(0).run().await;
    assert_eq!(tried.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_build_with_an_error() {
    for room in 0..8 {
        let mut trial = Trial::new()
            .step("a", "print x; print y; sleep 100")
            .step("b", "print z")
            .on(0);
        trial.log.room = Some(room);
        let tried = trial.run().await;
        let error = tried.outcome.expect_err("nothing may be lost in silence");
        assert!(matches!(&error, BuildError::Journal(source) if source.to_string() == "no space left on device"));
        assert_eq!(tried.events.len(), room);
        let seconds = if room < 6 { 0 } else { 100 };
        assert_eq!(tried.took, Duration::from_secs(seconds), "room for {room}");
    }
}

#[tokio::test]
async fn the_end_is_given_out_once() {
    let (mut control, _end) = crate::backend::control();
    assert!(matches!(control.wait().await, Err(BuildError::AlreadyWaited)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_build_passes_on_several_threads() {
    let tried = (0..2000)
        .fold(Trial::new(), |trial, key| trial.step(&key.to_string(), "print x"))
        .run()
        .await;
    assert_eq!(tried.exit_code(), 0);
    assert_eq!(tried.events.len(), 2 + 2000 * 5);
}
