//! What is refused before a build starts.

use std::sync::Arc;

use hm_pipeline_ir::{Pipeline, StepKey};
use serde_json::{Value, json};

use super::{Capabilities, Feature, preflight};
use crate::runner::RunnerRegistry;
use crate::runner::registry_tests::Named;
use crate::state::Selection;

fn pipeline(steps: &[Value], edges: &Value) -> Pipeline {
    let nodes: Vec<Value> = steps.iter().map(|step| json!({ "step": step, "env": {} })).collect();
    let graph = json!({ "nodes": nodes, "edge_property": "directed", "edges": edges });
    let document = json!({ "version": "0", "graph": graph });
    Pipeline::parse(document.to_string().as_bytes()).expect("the pipelines of these tests are valid")
}

fn runners() -> RunnerRegistry {
    let mut runners = RunnerRegistry::new(Arc::new(Named("vm")));
    runners.register(Arc::new(Named("other"))).expect("a new name");
    runners
}

/// Fields that were warned about, and those that were objected to, with their keys.
fn checked(pipeline: &Pipeline, capabilities: &Capabilities, selection: &Selection) -> (Vec<String>, Vec<String>) {
    let name = |objection: &super::Objection| format!("{} {}", objection.key, objection.field);
    match preflight("test", capabilities, &runners(), pipeline.graph(), selection) {
        Ok(warnings) => (warnings.iter().map(name).collect(), Vec::new()),
        Err(rejection) => (Vec::new(), rejection.objections.iter().map(name).collect()),
    }
}

#[test]
fn what_the_backend_lacks_is_named_step_by_step() {
    let steps = [
        json!({ "key": "a", "cmd": "x", "secrets": [{ "name": "s", "env": "S" }], "outputs": ["*.xml"] }),
        json!({ "key": "b", "cmd": "x", "services": [{}], "mounts": [{ "kind": "cache", "name": "n", "path": "/p" }] }),
        json!({ "key": "c", "cmd": "x", "network": "isolated" }),
        json!({ "key": "d", "cmd": "x", "network": "none" }),
        json!({ "key": "e", "cmd": "x", "network": "host" }),
        json!({ "key": "f", "cmd": "x", "cache": { "policy": "compose", "sub_policies": [{ "policy": "auto" }] } }),
    ];
    let pipeline = pipeline(&steps, &json!([]));
    let all = Selection::all(pipeline.graph());
    let (_, refused) = checked(&pipeline, &Capabilities::default(), &all);
    assert_eq!(
        refused,
        [
            "a outputs",
            "a secrets",
            "b services",
            "b mounts",
            "c network",
            "d network",
            "f cache"
        ]
    );
    let everything = Capabilities {
        features: Feature::ALL.into(),
        ..Capabilities::default()
    };
    assert_eq!(checked(&pipeline, &everything, &all), (Vec::new(), Vec::new()));
    let only_e = Selection::with_needs(pipeline.graph(), &[StepKey::new("e")]).expect("it is there");
    assert_eq!(
        checked(&pipeline, &Capabilities::default(), &only_e),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn what_a_step_can_go_without_is_a_warning() {
    let steps = [
        json!({ "key": "a", "cmd": "x", "retry": { "max": 2 } }),
        json!({ "key": "b", "cmd": "x", "resources": { "cpus": 2.0 } }),
        json!({ "key": "c", "cmd": "x", "retry": { "max": 0 } }),
    ];
    let pipeline = pipeline(&steps, &json!([]));
    let (warned, refused) = checked(&pipeline, &Capabilities::default(), &Selection::all(pipeline.graph()));
    assert_eq!(
        (warned, refused),
        (vec!["a retry".to_owned(), "b resources".to_owned()], Vec::new())
    );
}

#[test]
fn runners_are_checked() {
    let steps = [
        json!({ "key": "a", "cmd": "x", "runner": "vm", "runner_args": { "x": 1 } }),
        json!({ "key": "b", "cmd": "x", "runner": "qemu" }),
        json!({ "key": "c", "cmd": "x", "runner": "other" }),
    ];
    let pipeline = pipeline(&steps, &json!([[0, 2, "builds_in"]]));
    let all = Selection::all(pipeline.graph());
    let rejection = preflight("test", &Capabilities::default(), &runners(), pipeline.graph(), &all).expect_err("three");
    assert_eq!(
        rejection.to_string(),
        "the backend \"test\" can't run this pipeline: \
         step \"a\", `runner_args`: the runner \"vm\" takes no runner_args; \
         step \"b\", `runner`: there is no runner \"qemu\"; there is other, vm; \
         step \"c\", `runner`: it boots from the step \"a\", which another runner runs"
    );
    assert_eq!(rejection.objections[1].fix, "leave `runner` out for \"vm\"");
}
