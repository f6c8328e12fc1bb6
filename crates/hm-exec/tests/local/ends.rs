//! How builds end.

use std::time::Duration;

use hm_plugin_protocol::{BuildEvent, BuildStatus, CancelReason};
use serde_json::json;

use crate::bench::{Bench, plan};

#[tokio::test]
async fn a_build_passes_with_its_events_in_order() {
    let bench = Bench::new();
    let built = bench
        .run(&plan().step("a", "echo one; echo two >&2").step("b", "echo three").on(0))
        .await;
    assert_eq!(built.outcome.status, BuildStatus::Passed);
    let kinds: Vec<_> = built
        .events
        .iter()
        .map(|event| json!(event)["kind"].as_str().map(str::to_owned))
        .collect();
    let kinds: Vec<_> = kinds.iter().flatten().filter(|kind| *kind != "step_usage").collect();
    let of_step = ["step_start", "step_log"];
    let expected = [
        &["build_start", "build_accepted", "step_queued", "step_queued"][..],
        &[of_step[0], of_step[1], of_step[1], "step_end"],
        &[of_step[0], of_step[1], "step_end", "build_end"],
    ];
    assert_eq!(kinds, expected.concat());
    assert!(matches!(&built.events[1], BuildEvent::BuildAccepted { build, .. } if build.number == 1));
    assert_eq!(built.log("a"), ["one", "two"]);
    bench.close();
}

#[tokio::test]
async fn a_step_that_exits_3_fails_the_build_and_cancels_its_siblings() {
    let bench = Bench::new();
    let plan = plan()
        .step("bad", "exit 3")
        .step("sibling", "sleep 1000")
        .step("child", "true")
        .on(0);
    let built = bench.run(&plan.step("grandchild", "true").on(2)).await;
    assert_eq!((built.outcome.status, built.exit_code()), (BuildStatus::Failed, 1));
    assert_eq!(built.end("bad"), "Failed 3");
    assert!(
        ["Canceled 143", "Skipped \"stopped\""].contains(&&*built.end("sibling")),
        "{}",
        built.end("sibling")
    );
    assert_eq!(built.end("child"), "Skipped \"prerequisite\"");
    assert_eq!(built.end("grandchild"), "Skipped \"prerequisite\"");
    bench.close();
}

#[tokio::test]
async fn keep_going_runs_what_it_can() {
    let bench = Bench::new();
    let mut plan = plan()
        .step("bad", "exit 3")
        .step("good", "echo fine")
        .step("next", "echo fine")
        .on(1);
    plan.options.keep_going = true;
    let built = bench.run(&plan).await;
    assert_eq!(built.exit_code(), 1);
    assert_eq!(
        (built.end("good"), built.end("next")),
        ("Passed 0".to_owned(), "Passed 0".to_owned())
    );
    bench.close();
}

#[tokio::test]
async fn interrupt_and_terminate_cancel() {
    for (reason, exit_code) in [(CancelReason::Interrupt, 130), (CancelReason::Terminate, 143)] {
        let bench = Bench::new();
        let plan = plan().step("a", "sleep 1000").step("b", "true").on(0);
        let built = bench.run_with(&plan, |control| control.cancel(reason)).await;
        assert_eq!(
            (built.outcome.status, built.exit_code()),
            (BuildStatus::Canceled, exit_code)
        );
        assert_eq!(built.end("a"), format!("Canceled {exit_code}"));
        assert_eq!(built.end("b"), "Skipped \"stopped\"");
        bench.close();
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_the_build() {
    let bench = Bench::new();
    let mut of_pipeline = plan().step("a", "sleep 1000");
    of_pipeline.timeout = Some(60);
    let built = bench.run(&of_pipeline).await;
    assert_eq!((built.outcome.status, built.exit_code()), (BuildStatus::TimedOut, 124));
    assert_eq!(built.end("a"), "Canceled 143");
    assert!(built.took >= Duration::from_mins(1), "{:?}", built.took);
    of_pipeline.options.timeout = Some(Duration::from_secs(5));
    let built = bench.run(&of_pipeline).await;
    assert_eq!(built.exit_code(), 124);
    assert!(
        built.took < Duration::from_mins(1),
        "the option goes before the pipeline: {:?}",
        built.took
    );
    bench.close();
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_step() {
    let bench = Bench::new();
    let built = bench
        .run(&plan().with("a", "echo begun; sleep 1000", &json!({ "timeout_seconds": 5 })))
        .await;
    assert_eq!((built.outcome.status, built.exit_code()), (BuildStatus::Failed, 1));
    assert_eq!(built.end("a"), "TimedOut 124");
    assert_eq!(built.log("a"), ["begun"]);
    bench.close();
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ignores_the_request_is_killed_after_the_grace() {
    let bench = Bench::new();
    let mut plan = plan().with("a", "trap '' TERM; sleep 1000", &json!({ "timeout_seconds": 5 }));
    plan.options.grace = Duration::from_secs(3);
    let built = bench.run(&plan).await;
    assert_eq!(built.end("a"), "TimedOut 124");
    assert!(built.took < Duration::from_secs(30), "{:?}", built.took);
    bench.close();
}

#[tokio::test]
async fn an_image_that_is_not_there_is_an_error_of_the_steps_that_need_it() {
    let bench = Bench::new();
    let no_image = json!({ "image": "nowhere" });
    let mut plan = plan()
        .with("a", "true", &no_image)
        .with("b", "true", &no_image)
        .step("c", "true");
    plan.options.keep_going = true;
    let built = bench.run(&plan).await;
    assert_eq!(built.exit_code(), 1);
    for key in ["a", "b"] {
        assert_eq!(built.end(key), "Errored 125");
        assert!(
            built.causes(key).len() > 1,
            "the image store's own words: {:?}",
            built.causes(key)
        );
        assert!(built.causes(key)[0].contains("nowhere"), "{:?}", built.causes(key));
    }
    assert_eq!(built.end("c"), "Passed 0");
    bench.close();
}

#[tokio::test]
async fn a_reader_that_comes_late_gets_everything() {
    let bench = Bench::new();
    let (mut stream, mut control) = bench.start(&plan().step("a", "seq 1 20000")).await.into_parts();
    control.wait().await.expect("a verdict");
    let mut lines = 0;
    while let Some(batch) = stream.next_batch(1000).await.expect("the journal can be read") {
        for event in batch {
            if let BuildEvent::StepLog { line, .. } = event.event {
                lines += 1;
                assert_eq!(line, lines.to_string());
            }
        }
    }
    assert_eq!(lines, 20_000);
    bench.close();
}

#[tokio::test]
async fn a_child_of_a_failed_step_sees_what_it_left() {
    let bench = Bench::new();
    let plan = plan().step("test", "echo log > report; exit 1");
    let plan = plan
        .with("collect", "cat report", &json!({ "continue_on_failure": true }))
        .on(0);
    let built = bench.run(&plan).await;
    assert_eq!(built.log("collect"), ["log"]);
    assert_eq!(
        (built.end("test"), built.end("collect")),
        ("Failed 1".to_owned(), "Passed 0".to_owned())
    );
    assert_eq!(built.exit_code(), 1);
    bench.close();
}
