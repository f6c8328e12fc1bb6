//! Laws over random documents.

use std::collections::BTreeMap;

use hm_pipeline_ir::{
    Document, EdgeKind, EdgeProperty, GraphDocument, NodeDocument, Pipeline, Step, StepIndex, StepKey, Version,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON, with the names that a document uses more often than others.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("version"),
        Just("graph"),
        Just("nodes"),
        Just("edges"),
        Just("node_holes"),
        Just("edge_property"),
        Just("step"),
        Just("env"),
        Just("key"),
        Just("cmd"),
        Just("cache"),
        Just("policy"),
        Just("sub_policies"),
        Just("retry"),
        Just("mounts"),
        Just("timeout_seconds"),
        Just("~/"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u32..4).prop_map(Value::from),
        prop_oneof![
            Just("0"),
            Just("directed"),
            Just("builds_in"),
            Just("compose"),
            Just("ttl"),
            Just("")
        ]
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<Map<_, _>>()
            )),
        ]
    })
}

/// A document whose graph parts are random JSON.
fn nearly_a_document() -> impl Strategy<Value = Value> {
    let nodes = prop::collection::vec(any_json().prop_map(|step| json!({"step": step, "env": {}})), 0..4);
    let edges = prop::collection::vec(
        (0_u32..5, 0_u32..5, any_json()).prop_map(|(from, to, kind)| json!([from, to, kind])),
        0..6,
    );
    (nodes, edges)
        .prop_map(|(nodes, edges)| json!({"graph": {"nodes": nodes, "edge_property": "directed", "edges": edges}}))
}

/// A graph in which node ids are a random renumbering of a topological order.
#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn acyclic() -> impl Strategy<Value = GraphDocument> {
    (1_usize..40).prop_flat_map(|count| {
        let number = Just((0..u32::try_from(count).unwrap()).collect::<Vec<_>>()).prop_shuffle();
        let parents = prop::collection::vec(prop::option::weighted(0.7, any::<prop::sample::Index>()), count);
        let others = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..count);
        (number, parents, others).prop_map(|(number, parents, others)| {
            let mut edges = Vec::new();
            for (to, parent) in parents.iter().enumerate().skip(1) {
                edges.extend(parent.map(|parent| (number[parent.index(to)], number[to], EdgeKind::BuildsIn)));
            }
            for (a, b) in others {
                let (a, b) = (a.index(number.len()), b.index(number.len()));
                if a != b {
                    edges.push((number[a.min(b)], number[a.max(b)], EdgeKind::DependsOn));
                }
            }
            let nodes = (0..number.len()).map(|at| NodeDocument {
                step: Step::new(StepKey::new(format!("s{at}")), "true"),
                env: BTreeMap::new(),
            });
            GraphDocument {
                nodes: nodes.collect(),
                node_holes: Vec::new(),
                edge_property: EdgeProperty::Directed,
                edges,
            }
        })
    })
}

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
fn document(graph: GraphDocument) -> Vec<u8> {
    let document = Document {
        version: Version::V0,
        default_image: None,
        timeout_seconds: None,
        graph,
    };
    serde_json::to_vec(&document).unwrap()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Pipeline::parse(&bytes));
    }

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        if let Err(error) = Pipeline::parse(&serde_json::to_vec(&value).unwrap()) {
            prop_assert!(!error.problems.is_empty());
        }
    }

    #[test]
    fn every_pointer_leads_into_the_document(value in nearly_a_document()) {
        if let Err(error) = Pipeline::parse(&serde_json::to_vec(&value).unwrap()) {
            for problem in error.problems {
                prop_assert!(value.pointer(&problem.pointer).is_some(), "{problem}");
            }
        }
    }

    #[test]
    fn an_accepted_document_can_be_read_with_serde_too(value in nearly_a_document()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        if let Ok(pipeline) = Pipeline::parse(&bytes) {
            let document: Document = serde_json::from_slice(&bytes).unwrap();
            for at in pipeline.graph().indices() {
                prop_assert_eq!(&document.graph.nodes[at.get()].step, pipeline.graph().step(at));
            }
        }
    }

    #[test]
    fn chains_partition_the_steps_and_follow_builds_in(graph in acyclic()) {
        let pipeline = Pipeline::parse(&document(graph)).unwrap();
        let graph = pipeline.graph();
        let mut on_chains: Vec<StepIndex> = graph.chains().iter().flat_map(|chain| chain.steps.clone()).collect();
        on_chains.sort_unstable();
        prop_assert_eq!(on_chains, graph.indices().collect::<Vec<_>>());
        for (position, chain) in graph.chains().iter().enumerate() {
            prop_assert!(!chain.steps.is_empty());
            for at in &chain.steps {
                prop_assert_eq!(graph.chain(*at).0 as usize, position);
            }
            for pair in chain.steps.windows(2) {
                prop_assert_eq!(graph.parent(pair[1]), Some(pair[0]));
                prop_assert_eq!(graph.children(pair[0]), &pair[1..]);
                prop_assert_eq!(graph.prerequisites(pair[1]), &pair[..1]);
            }
        }
    }

    #[test]
    fn the_topological_order_holds_every_step_after_its_prerequisites(graph in acyclic()) {
        let pipeline = Pipeline::parse(&document(graph)).unwrap();
        let graph = pipeline.graph();
        let mut done = vec![false; graph.len()];
        for at in graph.topological() {
            prop_assert!(graph.prerequisites(*at).iter().all(|before| done[before.get()]));
            prop_assert!(!std::mem::replace(&mut done[at.get()], true));
        }
        prop_assert!(done.into_iter().all(|done| done));
    }

    #[test]
    fn prerequisites_and_dependents_mirror_the_edges(graph in acyclic()) {
        let edges = graph.edges.clone();
        let pipeline = Pipeline::parse(&document(graph)).unwrap();
        let graph = pipeline.graph();
        for (from, to, kind) in edges {
            let (from, to) = (StepIndex::new(from), StepIndex::new(to));
            prop_assert!(graph.prerequisites(to).binary_search(&from).is_ok());
            prop_assert!(graph.dependents(from).binary_search(&to).is_ok());
            if kind == EdgeKind::BuildsIn {
                prop_assert_eq!(graph.parent(to), Some(from));
                prop_assert!(graph.children(from).contains(&to));
            }
        }
    }

    #[test]
    fn closing_a_path_makes_a_cycle_that_is_named(graph in acyclic()) {
        let mut graph = graph;
        if let Some((from, to, _)) = graph.edges.first().copied() {
            graph.edges.push((to, from, EdgeKind::DependsOn));
            let error = Pipeline::parse(&document(graph)).unwrap_err();
            let codes: Vec<_> = error.problems.iter().map(|problem| problem.code).collect();
            prop_assert_eq!(codes, [hm_pipeline_ir::ProblemCode::Cycle]);
        }
    }
}
