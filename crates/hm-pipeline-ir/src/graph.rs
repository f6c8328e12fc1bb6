//! The validated graph of a pipeline.

use std::collections::BTreeMap;

use crate::links::Links;
use crate::step::{Step, StepKey};

/// Position of a step in its document; node id on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepIndex(u32);

impl StepIndex {
    /// The index of position `position`.
    pub fn new(position: u32) -> Self {
        Self(position)
    }

    /// For indexing slices.
    pub fn get(self) -> usize {
        self.0 as usize
    }

    /// As on the wire.
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

/// Identity of a chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChainIdx(pub u32);

impl ChainIdx {
    /// A graph has at most as many chains as steps, and steps are counted in 32 bits.
    pub(crate) fn of_position(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }
}

/// A maximal path of `builds_in` edges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// First to last.
    pub steps: Vec<StepIndex>,
}

/// A directed acyclic graph of steps, every question about it answered from tables.
#[derive(Clone, Debug)]
pub struct PipelineGraph {
    nodes: Vec<Node>,
    links: Links,
    topological: Vec<StepIndex>,
    chains: Vec<Chain>,
    by_key: Vec<StepIndex>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) step: Step,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) chain: ChainIdx,
}

impl PipelineGraph {
    pub(crate) fn new(nodes: Vec<Node>, links: Links, topological: Vec<StepIndex>, chains: Vec<Chain>) -> Self {
        let mut by_key: Vec<StepIndex> = Self::indices_of(nodes.len()).collect();
        by_key.sort_by(|a, b| nodes[a.get()].step.key.cmp(&nodes[b.get()].step.key));
        Self {
            nodes,
            links,
            topological,
            chains,
            by_key,
        }
    }

    pub(crate) fn indices_of(count: usize) -> impl Iterator<Item = StepIndex> + use<> {
        (0..u32::try_from(count).unwrap_or(u32::MAX)).map(StepIndex)
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no step; such a pipeline passes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All steps in document order.
    pub fn indices(&self) -> impl Iterator<Item = StepIndex> + use<> {
        Self::indices_of(self.nodes.len())
    }

    /// What the step says.
    pub fn step(&self, at: StepIndex) -> &Step {
        &self.nodes[at.get()].step
    }

    /// The node's environment with the step's own merged over it.
    pub fn env(&self, at: StepIndex) -> &BTreeMap<String, String> {
        &self.nodes[at.get()].env
    }

    /// The step whose snapshot this one boots from (`builds_in`).
    pub fn parent(&self, at: StepIndex) -> Option<StepIndex> {
        self.links.parent[at.get()]
    }

    /// The steps that boot from this one's snapshot (`builds_in`).
    pub fn children(&self, at: StepIndex) -> &[StepIndex] {
        self.links.children.of(at.get())
    }

    /// What must have ended before this step, over edges of both kinds, each once, ascending.
    pub fn prerequisites(&self, at: StepIndex) -> &[StepIndex] {
        self.links.prerequisites.of(at.get())
    }

    /// What waits for this step, over edges of both kinds, each once, ascending.
    pub fn dependents(&self, at: StepIndex) -> &[StepIndex] {
        self.links.dependents.of(at.get())
    }

    /// The chain that the step is on.
    pub fn chain(&self, at: StepIndex) -> ChainIdx {
        self.nodes[at.get()].chain
    }

    /// All chains; position = [`ChainIdx`].
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// Every step after all its prerequisites.
    pub fn topological(&self) -> &[StepIndex] {
        &self.topological
    }

    /// The step with that key.
    pub fn find(&self, key: &StepKey) -> Option<StepIndex> {
        let found = self.by_key.binary_search_by(|at| self.step(*at).key.cmp(key));
        found.ok().map(|place| self.by_key[place])
    }
}
