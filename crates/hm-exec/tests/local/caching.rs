//! Earlier results.

use std::sync::Arc;

use hm_plugin_protocol::CancelReason;
use serde_json::json;

use crate::bench::{Bench, plan};

#[tokio::test]
async fn the_second_build_uses_the_first_ones_results_and_logs() {
    let bench = Bench::new();
    let plan = plan().cached("a", "echo built").cached("b", "echo tested").on(0);
    let first = bench.run(&plan).await;
    assert_eq!(
        (first.end("a"), first.end("b")),
        ("Passed 0".to_owned(), "Passed 0".to_owned())
    );
    let second = bench.run(&plan).await;
    assert_eq!(
        (second.end("a"), second.end("b")),
        ("Cached 0".to_owned(), "Cached 0".to_owned())
    );
    assert_eq!((second.log("a"), second.log("b")), (first.log("a"), first.log("b")));
    bench.close();
}

#[tokio::test]
async fn what_the_key_is_made_of_decides() {
    let bench = Bench::new();
    let mut plan = plan().cached("a", "echo $FROM");
    bench.run(&plan).await;
    plan.machine_env.insert("CC".to_owned(), "clang".to_owned());
    assert_eq!(
        bench.run(&plan).await.end("a"),
        "Passed 0",
        "a variable that the policy names"
    );
    plan.env.insert("FROM".to_owned(), "caller".to_owned());
    assert_eq!(
        bench.run(&plan).await.end("a"),
        "Passed 0",
        "a variable that the step sees"
    );
    plan.machine_env.insert("OTHER".to_owned(), "x".to_owned());
    assert_eq!(
        bench.run(&plan).await.end("a"),
        "Cached 0",
        "a variable that nobody names"
    );
    bench.close();
}

#[tokio::test]
async fn without_the_cache_steps_run_again_and_renew_it() {
    let bench = Bench::new();
    let mut plan = plan().cached("a", "echo built");
    bench.run(&plan).await;
    plan.options.no_cache = true;
    assert_eq!(bench.run(&plan).await.end("a"), "Passed 0");
    plan.options.no_cache = false;
    assert_eq!(bench.run(&plan).await.end("a"), "Cached 0");
}

#[tokio::test]
async fn a_cached_step_under_an_uncached_parent_hits_where_the_parent_leaves_the_same() {
    let bench = Bench::new();
    bench.write("config", "1");
    let plan = plan()
        .step("configure", "cat config > /made; echo ran")
        .cached("compile", "cat /made")
        .on(0);
    bench.run(&plan).await;
    let again = bench.run(&plan).await;
    assert_eq!(
        (again.end("configure"), again.end("compile")),
        ("Passed 0".to_owned(), "Cached 0".to_owned())
    );
    bench.write("config", "2");
    let changed = bench.run(&plan).await;
    assert_eq!(
        (changed.end("compile"), changed.log("compile")),
        ("Passed 0".to_owned(), vec!["2".to_owned()])
    );
    bench.close();
}

#[tokio::test]
async fn an_uncached_step_boots_from_a_hit() {
    let bench = Bench::new();
    let plan = plan().cached("build", "echo x > /made").step("test", "cat /made").on(0);
    bench.run(&plan).await;
    let again = bench.run(&plan).await;
    assert_eq!(
        (again.end("build"), again.log("test")),
        ("Cached 0".to_owned(), vec!["x".to_owned()])
    );
    bench.close();
}

#[tokio::test]
async fn a_failure_is_not_cached() {
    let bench = Bench::new();
    let plan = plan().cached("a", "exit 1");
    bench.run(&plan).await;
    assert_eq!(bench.run(&plan).await.end("a"), "Failed 1");
    bench.close();
}

#[tokio::test]
async fn a_path_that_matches_nothing_is_told_in_the_steps_log() {
    let bench = Bench::new();
    let policy = json!({ "cache": { "policy": "on_change", "paths": ["nothing.toml"] } });
    let built = bench.run(&plan().with("a", "echo ran", &policy)).await;
    assert_eq!(built.log("a").len(), 2, "{:?}", built.log("a"));
    assert!(built.log("a")[0].contains("nothing.toml"), "{:?}", built.log("a"));
    let again = bench.run(&plan().with("a", "echo ran", &policy)).await;
    assert_eq!(
        (again.end("a"), again.log("a")),
        ("Cached 0".to_owned(), built.log("a")),
        "once, not twice"
    );
    bench.close();
}

#[tokio::test]
async fn identical_steps_of_one_build_run_once() {
    let bench = Bench::new();
    let built = bench
        .run(&plan().cached("a", "sleep 0; echo x").cached("b", "sleep 0; echo x"))
        .await;
    let mut ends = [built.end("a"), built.end("b")];
    ends.sort();
    assert_eq!(ends, ["Cached 0", "Passed 0"]);
    assert_eq!(built.log("a"), built.log("b"));
    bench.close();
}

#[tokio::test]
async fn a_build_that_waits_for_an_identical_step_of_another_can_be_canceled() {
    let bench = Bench::new();
    let plan = plan().cached("a", "sleep 1000");
    let (mut events, mut first) = bench.start(&plan).await.into_parts();
    let mut started = false;
    while !started {
        let batch = events
            .next_batch(1)
            .await
            .expect("the journal can be read")
            .expect("it goes on");
        started = json!(batch[0])["kind"] == "step_start";
    }
    let (_, mut second) = bench.start(&plan).await.into_parts();
    second.cancel(CancelReason::Interrupt);
    assert_eq!(second.wait().await.expect("a verdict").exit_code, 130);
    first.cancel(CancelReason::Terminate);
    assert_eq!(first.wait().await.expect("a verdict").exit_code, 143);
    drop(events);
    bench.close();
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_no_failure_and_says_why() {
    // The store knows nothing of snapshots in memory, so that it refuses every entry.
    let bench = Bench::with_cache(|store, _| Arc::new(store.clone()));
    let built = bench
        .run(
            &plan()
                .cached("a", "echo x > /made; echo ran")
                .cached("b", "cat /made")
                .on(0),
        )
        .await;
    assert_eq!(
        (built.end("a"), built.end("b")),
        ("Passed 0".to_owned(), "Passed 0".to_owned())
    );
    assert_eq!(built.log("a")[0], "ran");
    assert!(
        built.log("a")[1].starts_with("the result can't be cached: "),
        "{:?}",
        built.log("a")
    );
    bench.close();
}
