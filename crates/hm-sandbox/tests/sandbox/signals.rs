//! Stopping a step.

use hm_sandbox::ExitStatus;
use libtest_mimic::Trial;

use crate::support::{Bench, launcher, read_all, root_test, start_until_ready};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("signals::terminate_reaches_the_whole_group", whole_group),
        root_test("signals::a_handler_may_decide_the_exit", handler),
        root_test("signals::terminate_reaches_a_stopped_step", stopped),
        root_test("signals::kill_ends_what_ignores_terminate", kill),
        root_test("signals::kill_reaches_processes_of_other_sessions", other_session),
        root_test("signals::background_processes_end_with_the_command", background),
        root_test("signals::a_dropped_step_is_killed", dropped),
        root_test("signals::a_step_can_signal_itself_through_pid_one", through_init),
    ]
}

async fn whole_group() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command = "trap : TERM; (trap 'echo child; touch /done; exit' TERM; echo ready; while :; do sleep 0.01; done) & \
                   until test -e /done; do sleep 0.01; done; echo parent";
    let (mut running, output) = start_until_ready(&launcher, &machine, command).await;
    running.terminate().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Code(0));
    assert_eq!(read_all(output), "child\nparent\n");
}

async fn handler() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let (mut running, _output) = start_until_ready(&launcher, &machine, command).await;
    running.terminate().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Code(7));
}

async fn stopped() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let (mut running, _output) = start_until_ready(&launcher, &machine, "echo ready; kill -STOP $$; sleep 1000").await;
    running.terminate().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Signal(15));
}

async fn kill() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let (mut running, output) = start_until_ready(&launcher, &machine, command).await;
    let control = running.control();
    control.terminate().await.unwrap();
    control.kill().await.unwrap();
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Signal(9));
    assert_eq!(read_all(output), "");
    control.terminate().await.unwrap();
}

async fn other_session() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command = "setsid sh -c 'trap \"\" TERM HUP INT; echo ready; while :; do sleep 1000; done' & wait";
    let (mut running, output) = start_until_ready(&launcher, &machine, command).await;
    running.kill().await.unwrap();
    running.wait().await.unwrap();
    assert_eq!(read_all(output), "", "nobody holds the stream any more");
}

async fn background() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command = "setsid sh -c 'trap \"\" TERM HUP; echo ready; sleep 1000' & exit 4";
    let (mut running, output) =
        start_until_ready(&launcher, &machine, &format!("({command}) ; sleep 0.05; exit 5")).await;
    assert_eq!(running.wait().await.unwrap().status, ExitStatus::Code(5));
    assert_eq!(read_all(output), "");
}

async fn dropped() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let (running, output) = start_until_ready(&launcher, &machine, "echo ready; sleep 1000").await;
    drop(running);
    let rest = tokio::task::spawn_blocking(move || read_all(output)).await.unwrap();
    assert_eq!(rest, "");
}

async fn through_init() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command =
        "trap 'exit 9' TERM; echo ready; kill -KILL 1; kill -INT 1; kill -TERM 1; while :; do sleep 0.01; done";
    let (mut running, _output) = start_until_ready(&launcher, &machine, command).await;
    assert_eq!(
        running.wait().await.unwrap().status,
        ExitStatus::Code(9),
        "PID 1 survives all of it"
    );
}
