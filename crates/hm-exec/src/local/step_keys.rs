//! What is known of the keys of a build's steps before any has run.

use hm_pipeline_ir::{PipelineGraph, StepIndex};
use hm_vm::CacheKey;

/// What is known of a step's key before any step has run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KnownKey {
    /// The step's policy keeps no result.
    Uncached,
    /// It depends on the files that this step will leave, which isn't cached.
    After(StepIndex),
    /// The key.
    Known(CacheKey),
}

/// What is known of the keys of all steps of a build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepKeys {
    keys: Vec<KnownKey>,
    /// What the steps' logs would say about them, such as a path of `on_change` that matches nothing.
    pub notes: Vec<(StepIndex, String)>,
}

impl StepKeys {
    pub(super) fn unfilled(graph: &PipelineGraph) -> Self {
        Self {
            keys: vec![KnownKey::Uncached; graph.len()],
            notes: Vec::new(),
        }
    }

    /// Of one step.
    ///
    /// # Panics
    /// Where the step is of another pipeline.
    pub fn of(&self, at: StepIndex) -> KnownKey {
        self.keys[at.get()]
    }

    pub(super) fn set(&mut self, at: StepIndex, key: KnownKey) {
        self.keys[at.get()] = key;
    }
}
