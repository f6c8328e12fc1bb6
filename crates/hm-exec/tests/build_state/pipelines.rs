//! Pipelines to try things on.

use std::sync::Arc;

use hm_pipeline_ir::Pipeline;
use serde_json::{Value, json};

/// A step under construction.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) fields: Value,
    /// Prerequisite and kind of each edge that ends here.
    pub(crate) needs: Vec<(usize, &'static str)>,
}

pub(crate) fn step(key: &str) -> Node {
    Node {
        fields: json!({ "key": key, "cmd": format!("run {key}") }),
        needs: Vec::new(),
    }
}

impl Node {
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields[field] = value.into();
        self
    }

    pub(crate) fn after(mut self, prerequisite: usize) -> Self {
        self.needs.push((prerequisite, "depends_on"));
        self
    }

    pub(crate) fn on(mut self, parent: usize) -> Self {
        self.needs.push((parent, "builds_in"));
        self
    }

    pub(crate) fn cached(self) -> Self {
        self.with("cache", json!({ "policy": "forever" }))
    }
}

pub(crate) fn pipeline(nodes: &[Node]) -> Arc<Pipeline> {
    let edges: Vec<Value> = nodes
        .iter()
        .enumerate()
        .flat_map(|(to, node)| node.needs.iter().map(move |(from, kind)| json!([from, to, kind])))
        .collect();
    let steps: Vec<Value> = nodes
        .iter()
        .map(|node| json!({ "step": node.fields, "env": {} }))
        .collect();
    let document = json!({
        "version": "0",
        "graph": { "nodes": steps, "edge_property": "directed", "edges": edges },
    });
    Arc::new(Pipeline::parse(document.to_string().as_bytes()).expect("the pipelines of these tests are valid"))
}
