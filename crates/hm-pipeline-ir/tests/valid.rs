//! What a document that is accepted says.

use std::collections::BTreeMap;
use std::time::Duration;

use hm_pipeline_ir::{
    Cache, CachePolicy, ChainIdx, Pipeline, PipelineGraph, ProblemCode, Step, StepIndex, StepKey, display_name,
};

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn parse(text: &str) -> Pipeline {
    Pipeline::parse(text.as_bytes()).unwrap()
}

/// A document of steps `s0`, `s1`, … with these edges.
fn graph(count: u32, edges: &str) -> Pipeline {
    let nodes: Vec<String> = (0..count)
        .map(|at| format!(r#"{{"step":{{"key":"s{at}","cmd":"true"}},"env":{{}}}}"#))
        .collect();
    let nodes = nodes.join(",");
    parse(&format!(
        r#"{{"graph":{{"nodes":[{nodes}],"edge_property":"directed","edges":{edges}}}}}"#
    ))
}

fn numbers(indices: &[StepIndex]) -> Vec<u32> {
    indices.iter().map(|at| at.as_u32()).collect()
}

fn chains(graph: &PipelineGraph) -> Vec<Vec<u32>> {
    graph.chains().iter().map(|chain| numbers(&chain.steps)).collect()
}

fn at(index: u32) -> StepIndex {
    StepIndex::new(index)
}

#[test]
fn a_document_of_the_public_sdk_is_read() {
    let bytes = include_bytes!("documents/sdk-0.0.9.json");
    let pipeline = Pipeline::parse(bytes).unwrap();
    let graph = pipeline.graph();
    assert_eq!(pipeline.raw(), bytes);
    assert_eq!(pipeline.warnings(), []);
    assert_eq!(pipeline.timeout(), Some(Duration::from_hours(1)));
    assert_eq!(pipeline.default_image(), None);
    let names: Vec<String> = graph.indices().map(|at| display_name(graph.step(at))).collect();
    assert_eq!(
        names,
        [":package: tools", "cd src && make", "make check", "Docs", "./publish"]
    );
    assert_eq!(graph.step(at(1)).runner.as_deref(), Some("big"));
    assert_eq!(graph.step(at(2)).timeout_seconds.map(u32::from), Some(300));
    let Some(Cache {
        policy: CachePolicy::Compose { sub_policies },
        key: None,
    }) = &graph.step(at(0)).cache
    else {
        panic!("not composed: {:?}", graph.step(at(0)).cache);
    };
    assert_eq!(sub_policies.len(), 4);
    assert_eq!(chains(graph), [vec![0, 1], vec![2], vec![3], vec![4]]);
}

#[test]
fn an_empty_graph_is_valid() {
    let pipeline = graph(0, "[]");
    assert!(pipeline.graph().is_empty());
    assert_eq!(pipeline.graph().len(), 0);
    assert_eq!(pipeline.graph().chains(), []);
}

#[test]
fn the_bytes_are_kept_as_received() {
    let text = " {\"zz\" : [1.0, 1e3],\n\t\"graph\":{\"nodes\":[],\"edge_property\":\"directed\",\"edges\":[]} }\n";
    assert_eq!(parse(text).raw(), text.as_bytes());
}

#[test]
fn unknown_fields_are_warnings_with_the_nearest_name() {
    let pipeline = parse(
        r#"{"versoin":"9","graph":{"nodes":[{"step":{"key":"a","cmd":"true","lable":"A","a/b~c":1,
            "cache":{"policy":"forever","paths":[]},"retry":{"max":1,"delay":3}},"env":{},"x":0}],
            "edge_property":"directed","edges":[]}}"#,
    );
    let warnings: Vec<String> = pipeline.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "/graph/nodes/0/step/cache/paths: unknown field `paths` (known here: key, policy, env_keys)",
            "/graph/nodes/0/step/retry/delay: unknown field `delay` (known here: max, on)",
            "/graph/nodes/0/step/lable: unknown field `lable` (did you mean `label`?)",
            "/graph/nodes/0/step/a~1b~0c: unknown field `a/b~c` (known here: key, label, cmd, image, env, timeout_seconds, \
             cache, runner, runner_args, continue_on_failure, allow_failure, retry, outputs, secrets, services, resources, \
             network, mounts)",
            "/graph/nodes/0/x: unknown field `x` (known here: step, env)",
            "/versoin: unknown field `versoin` (did you mean `version`?)",
        ]
    );
}

#[test]
fn the_steps_own_environment_wins() {
    let pipeline = parse(
        r#"{"graph":{"nodes":[{"step":{"key":"a","cmd":"true","env":{"B":"step","C":"step"}},"env":{"A":"node","B":"node"}}],
            "edge_property":"directed","edges":[]}}"#,
    );
    let expected: BTreeMap<String, String> = [("A", "node"), ("B", "step"), ("C", "step")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    assert_eq!(pipeline.graph().env(at(0)), &expected);
}

#[test]
fn the_image_of_a_child_is_ignored_with_a_warning() {
    let pipeline = parse(
        r#"{"graph":{"nodes":[{"step":{"key":"a","cmd":"true"},"env":{}},{"step":{"key":"b","cmd":"true","image":"x"},"env":{}}],
            "edge_property":"directed","edges":[[0,1,"builds_in"]]}}"#,
    );
    let codes: Vec<_> = pipeline
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_str()))
        .collect();
    assert_eq!(codes, [(ProblemCode::IgnoredImage, "/graph/nodes/1/step/image")]);
}

#[test]
fn parallel_edges_of_two_kinds_order_once_and_end_the_chain() {
    let pipeline = graph(2, r#"[[0,1,"builds_in"],[0,1,"depends_on"]]"#);
    let graph = pipeline.graph();
    assert_eq!(numbers(graph.prerequisites(at(1))), [0]);
    assert_eq!(numbers(graph.dependents(at(0))), [1]);
    assert_eq!(graph.parent(at(1)), Some(at(0)));
    assert_eq!(chains(graph), [[0], [1]]);
    assert_eq!(pipeline.warnings(), []);
}

#[test]
fn an_edge_that_stands_twice_counts_once() {
    let pipeline = graph(2, r#"[[0,1,"builds_in"],[0,1,"builds_in"]]"#);
    assert_eq!(chains(pipeline.graph()), [[0, 1]]);
    assert_eq!(pipeline.warnings()[0].code, ProblemCode::RepeatedEdge);
    assert_eq!(pipeline.warnings()[0].pointer, "/graph/edges/1");
}

#[test]
fn a_chain_ends_at_a_fork_and_before_a_join() {
    // 0 → 1 → {2, 3}; 3 → 4 → 5, and 2 before 5.
    let edges = r#"[[0,1,"builds_in"],[1,2,"builds_in"],[1,3,"builds_in"],[3,4,"builds_in"],[4,5,"builds_in"],
                    [2,5,"depends_on"]]"#;
    let pipeline = graph(6, edges);
    let graph = pipeline.graph();
    assert_eq!(chains(graph), [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
    assert_eq!(graph.chain(at(4)), ChainIdx(2));
    assert_eq!(numbers(graph.children(at(1))), [2, 3]);
    assert_eq!(numbers(graph.prerequisites(at(5))), [2, 4]);
}

#[test]
fn chains_grow_in_index_order_even_against_the_order_of_work() {
    let pipeline = graph(3, r#"[[2,0,"builds_in"],[0,1,"builds_in"]]"#);
    assert_eq!(chains(pipeline.graph()), [vec![0, 1], vec![2]]);
    assert_eq!(numbers(pipeline.graph().topological()), [2, 0, 1]);
}

#[test]
fn steps_are_found_by_key() {
    let pipeline = graph(12, "[]");
    assert_eq!(pipeline.graph().find(&StepKey::new("s10")), Some(at(10)));
    assert_eq!(pipeline.graph().find(&StepKey::new("s12")), None);
}

#[test]
fn a_policy_of_the_future_with_a_key_is_opaque() {
    let text = r#"{"key":"k","cmd":"true","cache":{"policy":"moon","phase":"full","key":"abc"}}"#;
    let pipeline = parse(&format!(
        r#"{{"graph":{{"nodes":[{{"step":{text},"env":{{}}}}],"edge_property":"directed","edges":[]}}}}"#
    ));
    let cache = Cache {
        policy: CachePolicy::Opaque {
            name: "moon".to_owned(),
        },
        key: Some("abc".to_owned()),
    };
    assert_eq!(pipeline.graph().step(at(0)).cache.as_ref(), Some(&cache));
    assert_eq!(pipeline.warnings(), []);
    assert_eq!(
        serde_json::to_string(&cache).unwrap(),
        r#"{"policy":"moon","key":"abc"}"#
    );
    assert_eq!(
        serde_json::from_str::<Cache>(&serde_json::to_string(&cache).unwrap()).unwrap(),
        cache
    );
}

#[test]
fn a_full_step_reads_the_same_from_a_document_and_from_the_executor_wire() {
    let text = r#"{"key":"k","label":"L","cmd":"make","image":"debian","env":{"A":"1"},"timeout_seconds":9,
        "cache":{"policy":"compose","sub_policies":[{"policy":"ttl","duration_seconds":60,"env_keys":["A"]},
            {"policy":"on_change","paths":["x"],"key":"y"},{"policy":"auto"},{"policy":"none"}],"key":"z"},
        "runner":"r","runner_args":[1,null],"continue_on_failure":true,"allow_failure":true,
        "retry":{"max":2,"on":["exit","timeout","infra"]},"outputs":["out/*"],
        "secrets":[{"name":"N","env":"E"},{"name":"M","file":"f"}],"services":[{"any":"thing"}],
        "resources":{"cpus":0.5,"memory_mib":64,"pids":10},"network":"isolated",
        "mounts":[{"kind":"cache","name":"n","path":"/p"}]}"#;
    let pipeline = parse(&format!(
        r#"{{"graph":{{"nodes":[{{"step":{text},"env":{{}}}}],"edge_property":"directed","edges":[]}}}}"#
    ));
    let from_wire: Step = serde_json::from_str(text).unwrap();
    let step = pipeline.graph().step(at(0));
    assert_eq!(step, &from_wire);
    assert_eq!(pipeline.warnings(), []);
    let again: Step = serde_json::from_str(&serde_json::to_string(step).unwrap()).unwrap();
    assert_eq!(step, &again);
}

#[test]
fn a_display_name_is_the_label_or_forty_characters_of_the_command() {
    let mut step = Step::new(StepKey::new("k"), "ä".repeat(50));
    assert_eq!(display_name(&step), "ä".repeat(40));
    step.label = Some(String::new());
    assert_eq!(display_name(&step), "ä".repeat(40));
    step.label = Some("Label".to_owned());
    assert_eq!(display_name(&step), "Label");
}

#[test]
fn a_chain_of_100_000_steps_is_one_chain() {
    let edges: Vec<String> = (1..100_000)
        .map(|to| format!("[{},{to},\"builds_in\"]", to - 1))
        .collect();
    let pipeline = graph(100_000, &format!("[{}]", edges.join(",")));
    assert_eq!(pipeline.graph().chains().len(), 1);
    assert_eq!(pipeline.graph().topological().len(), 100_000);
}
