//! Refusing before anything runs what could not run right.

use std::fmt;

use hm_pipeline_ir::{PipelineGraph, StepIndex, StepKey};

use super::capabilities::{Capabilities, Feature};
use crate::runner::RunnerRegistry;
use crate::state::Selection;

/// Something that a step asks for and can't have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Objection {
    /// The step.
    pub key: StepKey,
    /// The member that asks.
    pub field: &'static str,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step \"{}\", `{}`: {}", self.key, self.field, self.message)
    }
}

/// The pipeline asks for what the backend doesn't offer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the backend \"{backend}\" can't run this pipeline: {}", listed(objections))]
pub struct Rejection {
    /// The backend that refuses.
    pub backend: String,
    /// Everything it refuses, in document order.
    pub objections: Vec<Objection>,
}

fn listed(objections: &[Objection]) -> String {
    objections
        .iter()
        .map(Objection::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Refuses before anything runs what could not run right: features that `capabilities` lack, unknown runners, and
/// arguments that a runner doesn't take. Looks at every selected step. Gives what the build goes without.
pub fn preflight(
    backend: &str,
    capabilities: &Capabilities,
    runners: &RunnerRegistry,
    graph: &PipelineGraph,
    selection: &Selection,
) -> Result<Vec<Objection>, Rejection> {
    let (mut warnings, mut objections) = (Vec::new(), Vec::new());
    for at in graph.indices().filter(|&at| selection.contains(at)) {
        objections.extend(runner_objections(runners, graph, at));
        for feature in Feature::ALL {
            if feature.is_asked_by(graph.step(at)) && !capabilities.features.contains(&feature) {
                let into = if feature.is_dispensable() {
                    &mut warnings
                } else {
                    &mut objections
                };
                into.push(missing(feature, capabilities, graph, at));
            }
        }
    }
    if objections.is_empty() {
        Ok(warnings)
    } else {
        Err(Rejection {
            backend: backend.to_owned(),
            objections,
        })
    }
}

fn missing(feature: Feature, capabilities: &Capabilities, graph: &PipelineGraph, at: StepIndex) -> Objection {
    Objection {
        key: graph.step(at).key.clone(),
        field: feature.field(),
        message: match feature {
            Feature::IsolatedNetwork => "the backend has no \"isolated\" network".to_owned(),
            Feature::NoNetwork => "the backend can't take the network away".to_owned(),
            Feature::AutoCache => "the backend doesn't offer the policy \"auto\"".to_owned(),
            Feature::Retry
            | Feature::Outputs
            | Feature::Secrets
            | Feature::Services
            | Feature::Resources
            | Feature::Mounts => "the backend doesn't offer it".to_owned(),
        },
        fix: capabilities.fixes.get(&feature).map_or_else(
            || feature.fix().to_owned(),
            |gives| format!("{gives}; or {}", feature.fix()),
        ),
    }
}

fn runner_objections(runners: &RunnerRegistry, graph: &PipelineGraph, at: StepIndex) -> Vec<Objection> {
    let step = graph.step(at);
    let objection = |field, message, fix: &str| Objection {
        key: step.key.clone(),
        field,
        message,
        fix: fix.to_owned(),
    };
    let runner = match runners.resolve(step.runner.as_deref()) {
        Ok(runner) => runner,
        Err(unknown) => {
            let fix = format!("leave `runner` out for \"{}\"", runners.default_runner_name());
            return vec![objection("runner", unknown.to_string(), &fix)];
        }
    };
    let of_runner = runner.objections(step).into_iter();
    let mut found: Vec<_> = of_runner
        .map(|message| objection("runner_args", message, "change or leave out `runner_args`"))
        .collect();
    if let Some(parent) = graph.parent(at).map(|parent| graph.step(parent)) {
        let name = |runner: &Option<String>| runner.as_deref().unwrap_or(runners.default_runner_name()).to_owned();
        if name(&parent.runner) != name(&step.runner) {
            let message = format!("it boots from the step \"{}\", which another runner runs", parent.key);
            found.push(objection(
                "runner",
                message,
                "use the same runner for both, or order them with `depends_on`",
            ));
        }
    }
    found
}
