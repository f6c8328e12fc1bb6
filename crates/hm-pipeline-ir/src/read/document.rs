//! Reading the document around the steps.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::fields::Fields;
use super::json::Json;
use super::pointer::Pointer;
use super::step::step;
use super::value::{environment, list, seconds, string, unsigned, wrong_type};
use crate::document::EdgeKind;
use crate::problem::{Findings, ProblemCode};
use crate::step::{Step, StepKey};

const EDGE_SHAPE: &str = "an array of [from, to, kind]";

/// What could be read; only good to go on with, not to run.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) default_image: Option<String>,
    pub(crate) timeout_seconds: Option<NonZeroU32>,
    pub(crate) nodes: Vec<(Step, BTreeMap<String, String>)>,
    pub(crate) edges: Vec<DraftEdge>,
}

/// An edge with its place in the document; its ends may point anywhere.
#[derive(Debug)]
pub(crate) struct DraftEdge {
    pub(crate) position: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) kind: EdgeKind,
}

/// `None` where there is no JSON object at all.
pub(crate) fn read(bytes: &[u8], findings: &mut Findings) -> Option<Draft> {
    let root = match serde_json::from_slice::<Json>(bytes) {
        Ok(value) => value,
        Err(error) => {
            findings.problem(
                ProblemCode::Syntax,
                Pointer::Root,
                format!("not JSON: {error}"),
                "write one JSON object",
            );
            return None;
        }
    };
    let at = Pointer::Root;
    let mut fields = Fields::of(root, &at, findings)?;
    let mut draft = Draft::default();
    fields.defaulted("version", findings, version);
    draft.default_image = fields.optional("default_image", findings, string);
    draft.timeout_seconds = fields.optional("timeout_seconds", findings, seconds);
    fields.required("graph", findings, |value, at, findings| {
        graph(value, at, findings, &mut draft)
    });
    fields.finish(findings);
    Some(draft)
}

fn version(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<()> {
    let version = string(value, at, findings)?;
    if version != "0" {
        let message = format!("version {version:?} is not one this engine reads");
        findings.problem(
            ProblemCode::UnsupportedVersion,
            at,
            message,
            "it reads \"0\"; use an SDK that writes it",
        );
    }
    Some(())
}

fn graph(value: Json, at: &Pointer<'_>, findings: &mut Findings, draft: &mut Draft) -> Option<()> {
    let mut fields = Fields::of(value, at, findings)?;
    draft.nodes = fields.required("nodes", findings, list(node)).unwrap_or_default();
    fields.defaulted("node_holes", findings, node_holes);
    fields.required("edge_property", findings, edge_property);
    draft.edges = fields.required("edges", findings, edges).unwrap_or_default();
    fields.finish(findings);
    Some(())
}

/// Always something, so that positions stay node ids.
#[expect(clippy::unnecessary_wraps, reason = "the shape that all readers have")]
fn node(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<(Step, BTreeMap<String, String>)> {
    let blank = || Step::new(StepKey::new(""), "");
    let Some(mut fields) = Fields::of(value, at, findings) else {
        return Some((blank(), BTreeMap::new()));
    };
    let step = fields.required("step", findings, step).unwrap_or_else(blank);
    let env = fields.required("env", findings, environment).unwrap_or_default();
    fields.finish(findings);
    Some((step, env))
}

fn node_holes(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<()> {
    let Json::Array(holes) = value else {
        return wrong_type("an empty array", &value, at, findings);
    };
    if !holes.is_empty() {
        let hint = "number the nodes without gaps and leave `node_holes` empty";
        findings.problem(ProblemCode::Holes, at, "the graph has holes", hint);
    }
    Some(())
}

fn edge_property(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<()> {
    let property = string(value, at, findings)?;
    if property != "directed" {
        let message = format!("the graph is {property:?}, not \"directed\"");
        findings.problem(ProblemCode::Undirected, at, message, "write \"directed\"");
    }
    Some(())
}

fn edges(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Vec<DraftEdge>> {
    let Json::Array(items) = value else {
        return wrong_type("an array", &value, at, findings);
    };
    let items = items.into_iter().enumerate();
    Some(
        items
            .filter_map(|(position, item)| edge(item, position, &at.item(position), findings))
            .collect(),
    )
}

fn edge(value: Json, position: usize, at: &Pointer<'_>, findings: &mut Findings) -> Option<DraftEdge> {
    let Json::Array(parts) = value else {
        return wrong_type(EDGE_SHAPE, &value, at, findings);
    };
    let Ok([from, to, kind]) = <[Json; 3]>::try_from(parts) else {
        findings.problem(
            ProblemCode::OutOfRange,
            at,
            "an edge has exactly three parts",
            format!("write {EDGE_SHAPE}"),
        );
        return None;
    };
    let from = unsigned(from, &at.item(0), findings);
    let to = unsigned(to, &at.item(1), findings);
    let kind = edge_kind(kind, &at.item(2), findings);
    Some(DraftEdge {
        position,
        from: from?,
        to: to?,
        kind: kind?,
    })
}

fn edge_kind(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<EdgeKind> {
    let text = string(value, at, findings)?;
    match text.as_str() {
        "builds_in" => Some(EdgeKind::BuildsIn),
        "depends_on" => Some(EdgeKind::DependsOn),
        other => {
            let message = format!("unknown edge kind {other:?}");
            findings.problem(
                ProblemCode::UnknownEdgeKind,
                at,
                message,
                "write \"builds_in\" or \"depends_on\"",
            );
            // An edge of any kind orders its ends, so the graph is still looked at with it.
            Some(EdgeKind::DependsOn)
        }
    }
}
