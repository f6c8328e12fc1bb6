//! What keeps a build from starting, and which steps it has.

use hm_exec::{ExecutionBackend, StartError};
use hm_pipeline_ir::StepKey;
use serde_json::json;

use crate::bench::{Bench, plan};

#[tokio::test]
async fn what_the_backend_lacks_is_refused_before_anything_runs() {
    let bench = Bench::new();
    let plan = plan().with("a", "true", &json!({ "services": [{ "image": "postgres" }] }));
    let refused = bench
        .backend
        .start(bench.request(&plan))
        .await
        .expect_err("no services here");
    let StartError::Rejected(rejection) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(rejection.objections.len(), 1);
    let text = "the backend \"memory\" can't run this pipeline: step \"a\", `services`: the backend doesn't offer it";
    assert_eq!(refused.to_string(), text);
    bench.close();
}

#[tokio::test]
async fn what_a_step_can_go_without_is_a_warning() {
    let bench = Bench::new();
    let plan = plan().with("a", "true", &json!({ "retry": { "max": 1 } }));
    let handle = bench.start(&plan).await;
    assert_eq!(handle.warnings().len(), 1);
    assert_eq!(
        handle.warnings()[0].to_string(),
        "step \"a\", `retry`: the backend doesn't offer it"
    );
    let (_, mut control) = handle.into_parts();
    assert_eq!(control.wait().await.expect("a verdict").exit_code, 0);
    bench.close();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let bench = Bench::new();
    let mut request = bench.request(&plan().step("a", "true"));
    request.source_root = bench.tree().join("nowhere");
    let error = bench
        .backend
        .start(request)
        .await
        .expect_err("there is nothing to capture");
    assert!(matches!(error, StartError::Workspace(_)), "{error:?}");
    bench.close();
}

#[tokio::test]
async fn only_the_steps_asked_for_and_what_they_need() {
    let bench = Bench::new();
    let mut plan = plan()
        .step("a", "echo x > made")
        .step("b", "cat made")
        .on(0)
        .step("c", "exit 1");
    plan.options.only = Some(vec![StepKey::new("b")]);
    let built = bench.run(&plan).await;
    assert_eq!(built.exit_code(), 0);
    assert_eq!((built.end("b"), built.end("c")), ("Passed 0".to_owned(), String::new()));
    plan.options.only = Some(vec![StepKey::new("d")]);
    let unknown = bench
        .backend
        .start(bench.request(&plan))
        .await
        .expect_err("there is no d");
    assert_eq!(unknown.to_string(), "the pipeline has no step with the key \"d\"");
    bench.close();
}

#[tokio::test]
async fn an_empty_pipeline_passes() {
    let bench = Bench::new();
    let built = bench.run(&plan()).await;
    assert_eq!(built.exit_code(), 0);
    bench.close();
}
