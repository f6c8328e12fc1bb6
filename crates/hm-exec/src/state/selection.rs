//! Which steps of a pipeline a build has.

use hm_pipeline_ir::{PipelineGraph, StepIndex, StepKey};
use std::collections::HashMap;

/// The steps that take part, closed under "needs".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    included: Vec<bool>,
    count: usize,
}

/// A step was asked for that the pipeline doesn't have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the pipeline has no step with the key \"{key}\"")]
pub struct UnknownStep {
    /// As it was asked for.
    pub key: StepKey,
}

impl Selection {
    /// Every step.
    pub fn all(graph: &PipelineGraph) -> Self {
        Self {
            included: vec![true; graph.len()],
            count: graph.len(),
        }
    }

    /// The steps with these keys and everything they need, over edges of both kinds.
    pub fn with_needs(graph: &PipelineGraph, keys: &[StepKey]) -> Result<Self, UnknownStep> {
        let by_key: HashMap<&StepKey, StepIndex> = graph.indices().map(|at| (&graph.step(at).key, at)).collect();
        let mut included = vec![false; graph.len()];
        let mut count = 0;
        let mut to_visit = Vec::with_capacity(keys.len());
        for key in keys {
            to_visit.push(*by_key.get(key).ok_or_else(|| UnknownStep { key: key.clone() })?);
        }
        while let Some(at) = to_visit.pop() {
            if !included[at.get()] {
                included[at.get()] = true;
                count += 1;
                to_visit.extend_from_slice(graph.prerequisites(at));
            }
        }
        Ok(Self { included, count })
    }

    /// Whether the step takes part.
    pub fn contains(&self, step: StepIndex) -> bool {
        self.included[step.get()]
    }

    /// How many take part.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none takes part.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
