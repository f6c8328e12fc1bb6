//! Edges that go through junctions, so that a barrier between n and m steps is n + m lines and not n × m.

use std::collections::HashMap;

use hm_pipeline_ir::{PipelineGraph, StepIndex};

use super::edges::{Edge, edges};

/// A line of a picture, from one vertex to another. The first vertices are the steps, junctions come after them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether `to` boots from the snapshot of `from`.
    pub(super) builds_in: bool,
}

/// All lines of a picture.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    /// The steps before each junction.
    pub(super) junctions: Vec<Vec<StepIndex>>,
}

/// The edges worth drawing, by way of a junction where several steps wait for the same ones and that makes fewer lines.
///
/// A step that boots from one of those it waits for is drawn from there as well.
pub(super) fn lines(graph: &PipelineGraph) -> Lines {
    let steps = waiting(graph);
    let mut sharing: HashMap<Vec<StepIndex>, usize> = HashMap::new();
    for step in &steps {
        for set in step.sets() {
            *sharing.entry(set).or_default() += 1;
        }
    }
    let mut drawn = Lines {
        lines: Vec::new(),
        junctions: Vec::new(),
    };
    let mut known: HashMap<Vec<StepIndex>, usize> = HashMap::new();
    for step in steps {
        if let Some(parent) = step.parent {
            drawn.line(parent.get(), step.at.get(), true);
        }
        let best = step.sets().into_iter().max_by_key(|set| sharing[set]);
        let shared = best.filter(|set| pays(set.len(), sharing[set]));
        let Some(set) = shared else {
            for from in &step.after {
                drawn.line(from.get(), step.at.get(), false);
            }
            continue;
        };
        let junction = *known.entry(set).or_insert_with_key(|set| drawn.junction(graph, set));
        drawn.line(junction, step.at.get(), false);
    }
    drawn
}

/// Whether a junction makes fewer lines.
fn pays(before: usize, after: usize) -> bool {
    before + after < before * after
}

/// What is drawn to a step.
struct Waiting {
    at: StepIndex,
    parent: Option<StepIndex>,
    /// What else it waits for, in order.
    after: Vec<StepIndex>,
}

impl Waiting {
    /// What the step may share with others: what it waits for, without the step that it boots from and with it.
    fn sets(&self) -> Vec<Vec<StepIndex>> {
        let mut sets = vec![self.after.clone()];
        if let Some(parent) = self.parent.filter(|_| !self.after.is_empty()) {
            let mut with_parent = self.after.clone();
            with_parent.push(parent);
            with_parent.sort_unstable_by_key(|step| step.get());
            sets.push(with_parent);
        }
        sets
    }
}

fn waiting(graph: &PipelineGraph) -> Vec<Waiting> {
    let mut steps: Vec<Waiting> = graph
        .indices()
        .map(|at| Waiting {
            at,
            parent: None,
            after: Vec::new(),
        })
        .collect();
    for Edge { from, to, builds_in } in edges(graph) {
        let step = &mut steps[to.get()];
        if builds_in {
            step.parent = Some(from);
        } else {
            step.after.push(from);
        }
    }
    for step in &mut steps {
        step.after.sort_unstable_by_key(|step| step.get());
    }
    steps
}

impl Lines {
    fn line(&mut self, from: usize, to: usize, builds_in: bool) {
        self.lines.push(Line { from, to, builds_in });
    }

    /// A new junction behind these steps.
    fn junction(&mut self, graph: &PipelineGraph, before: &[StepIndex]) -> usize {
        let junction = graph.len() + self.junctions.len();
        self.junctions.push(before.to_vec());
        for from in before {
            self.line(from.get(), junction, false);
        }
        junction
    }
}
