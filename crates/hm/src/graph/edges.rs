//! The edges worth drawing.

use hm_pipeline_ir::{PipelineGraph, StepIndex};

/// An order between two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Edge {
    pub(super) from: StepIndex,
    pub(super) to: StepIndex,
    /// Whether `to` boots from the snapshot of `from`.
    pub(super) builds_in: bool,
}

/// Looks at prerequisites of prerequisites before edges are drawn although others imply them.
const BUDGET: usize = 50_000_000;

/// Every edge, target by target, without orders that two other edges imply. A barrier orders each step before it and each
/// after it; drawn are only the last ones before it.
pub(super) fn edges(graph: &PipelineGraph) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut budget = BUDGET;
    // Which step each one was last found to be implied for.
    let mut implied: Vec<Option<StepIndex>> = vec![None; graph.len()];
    for to in graph.indices() {
        let prerequisites = graph.prerequisites(to);
        for between in prerequisites {
            let earlier = graph.prerequisites(*between);
            budget = budget.saturating_sub(earlier.len());
            if budget == 0 {
                break;
            }
            for from in earlier {
                implied[from.get()] = Some(to);
            }
        }
        edges.extend(prerequisites.iter().filter_map(|from| {
            let builds_in = graph.parent(to) == Some(*from);
            let drawn = builds_in || implied[from.get()] != Some(to);
            drawn.then_some(Edge {
                from: *from,
                to,
                builds_in,
            })
        }));
    }
    edges
}
