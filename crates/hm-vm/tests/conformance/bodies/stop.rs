use std::sync::Arc;
use std::time::Duration;

use hm_vm::{ExecOutcome, StopToken};

use crate::ground::{Ground, StopAtOutput, request, run, says};

/// The command is stopped as soon as it has written something.
async fn stopped(ground: &Ground, cmd: &str, grace: Duration, at_once: bool) -> ExecOutcome {
    let mut machine = ground.boot().await;
    let mut asked = request(cmd);
    asked.grace = grace;
    asked.sink = Arc::new(StopAtOutput {
        stop: asked.stop.clone(),
        at_once,
    });
    let outcome = machine.exec(asked).await.unwrap();
    machine.close().await.unwrap();
    outcome
}

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(20);

pub(super) async fn ends_the_command(ground: &Ground) {
    let outcome = stopped(ground, "echo begun; sleep 1000; echo never", LONG, false).await;
    assert_eq!((outcome.exit, outcome.stopped), (143, true));
}

/// A shell acts on a trap when the command it waits for has ended, or at once in `wait`.
pub(super) async fn lets_the_command_finish(ground: &Ground) {
    let cmd = "trap 'exit 7' TERM; sleep 1000 & echo begun; wait; exit 8";
    let outcome = stopped(ground, cmd, LONG, false).await;
    assert_eq!((outcome.exit, outcome.stopped), (7, true));
}

pub(super) async fn kills_after_the_grace(ground: &Ground) {
    let outcome = stopped(ground, "trap '' TERM; echo begun; sleep 1000", SHORT, false).await;
    assert_eq!((outcome.exit, outcome.stopped), (137, true));
}

pub(super) async fn kills_at_once(ground: &Ground) {
    let outcome = stopped(ground, "trap '' TERM; echo begun; sleep 1000", LONG, true).await;
    assert_eq!((outcome.exit, outcome.stopped), (137, true));
}

pub(super) async fn before_the_start(ground: &Ground) {
    let mut machine = ground.boot().await;
    let mut asked = request("sleep 1000");
    asked.stop = StopToken::new();
    asked.stop.stop();
    let outcome = machine.exec(asked).await.unwrap();
    assert!(outcome.stopped && outcome.exit != 0, "{outcome:?}");
    machine.close().await.unwrap();
}

pub(super) async fn leaves_the_machine_usable(ground: &Ground) {
    let mut machine = ground.boot().await;
    let mut asked = request("echo kept > f; echo begun; sleep 1000");
    asked.sink = Arc::new(StopAtOutput {
        stop: asked.stop.clone(),
        at_once: true,
    });
    assert!(machine.exec(asked).await.unwrap().stopped);
    says(&mut *machine, "cat f", "kept\n").await;
    let snapshot = machine.snapshot().await.unwrap();
    machine.close().await.unwrap();
    let mut machine = ground.restore(&snapshot).await;
    says(&mut *machine, "cat f", "kept\n").await;
    machine.close().await.unwrap();
}

pub(super) async fn a_dropped_command_does_nothing_more(ground: &Ground) {
    let mut machine = ground.boot().await;
    let asked = request("sleep 0.2; echo late > late");
    let ended = tokio::time::timeout(Duration::from_millis(50), machine.exec(asked)).await;
    assert!(ended.is_err(), "it was dropped while it slept");
    let ran = run(&mut *machine, "sleep 0.4; ls").await;
    assert_eq!(ran.out_text(), "");
    machine.close().await.unwrap();
}
