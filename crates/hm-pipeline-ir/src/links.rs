//! The edges of a graph, sorted by what is asked of them.

use crate::graph::StepIndex;

/// For each node a list of others, ascending, each once; all lists in one allocation.
#[derive(Clone, Debug)]
pub(crate) struct Adjacency {
    /// The list of node `n` is `others[start[n]..start[n + 1]]`.
    start: Vec<usize>,
    others: Vec<StepIndex>,
}

impl Adjacency {
    /// Of `count` nodes; each pair is a node and one of its others.
    pub(crate) fn new(count: usize, mut pairs: Vec<(StepIndex, StepIndex)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut start = vec![0; count + 1];
        for (node, _) in &pairs {
            start[node.get() + 1] += 1;
        }
        for at in 0..count {
            start[at + 1] += start[at];
        }
        Self {
            start,
            others: pairs.into_iter().map(|(_, other)| other).collect(),
        }
    }

    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.start.len() - 1
    }

    pub(crate) fn of(&self, node: usize) -> &[StepIndex] {
        &self.others[self.start[node]..self.start[node + 1]]
    }
}

/// Who builds in, waits for and is waited for by whom.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) parent: Vec<Option<StepIndex>>,
    pub(crate) children: Adjacency,
    pub(crate) prerequisites: Adjacency,
    pub(crate) dependents: Adjacency,
}
