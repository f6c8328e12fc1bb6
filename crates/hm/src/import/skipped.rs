//! Jobs that never run because of others.

use std::collections::BTreeMap;

use super::expression::{Scope, Status, Truth, condition, names_status};
use super::yaml::Node;

/// The jobs that need one that never runs, with the line and the name of the need. As in a workflow, what is skipped
/// skips what needs it, unless the condition of that asks what came before.
pub(super) fn skipped<'a>(written: &[(&str, &'a Node)], scope: &Scope) -> BTreeMap<usize, (usize, &'a str)> {
    let mut never: Vec<bool> = written.iter().map(|(_, node)| never_runs(node, scope)).collect();
    let mut skipped = BTreeMap::new();
    // A round for each link of the longest chain that there could be.
    for _ in written {
        for (place, (_, node)) in written.iter().enumerate() {
            if never[place] || names_status(source(node)) {
                continue;
            }
            let mut needs = node.get("needs").and_then(Node::texts).unwrap_or_default().into_iter();
            let is_never = |name: &str| {
                let mut others = written.iter().zip(&never);
                others.any(|((id, _), never)| *never && id.eq_ignore_ascii_case(name))
            };
            if let Some(need) = needs.find(|(_, name)| is_never(name)) {
                never[place] = true;
                skipped.insert(place, need);
            }
        }
    }
    skipped
}

fn source(node: &Node) -> &str {
    node.get("if").and_then(Node::text).unwrap_or_default()
}

/// Whether the condition of the job itself rules it out.
fn never_runs(node: &Node, scope: &Scope) -> bool {
    let source = source(node);
    if source.is_empty() {
        return false;
    }
    let condition = condition(source, scope);
    condition.truth == Truth::Known(false) || condition.status == Status::Failure
}
