//! The registry, and the texts of errors.

use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::{ExecutorInput, SnapshotRef, StepResult};

use super::{RegistryError, RunnerRegistry, StepContext, StepError, StepRunner, causes};

/// A runner that runs nothing.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) &'static str);

#[async_trait]
impl StepRunner for Named {
    fn name(&self) -> &str {
        self.0
    }

    async fn execute(&self, _context: &StepContext, _input: ExecutorInput) -> Result<StepResult, StepError> {
        Err(StepError::Stopped)
    }

    async fn reap_snapshots(&self, _snapshots: Vec<SnapshotRef>) -> Result<(), StepError> {
        Ok(())
    }
}

#[test]
fn runners_are_found_by_name_and_listed_sorted() {
    let mut registry = RunnerRegistry::new(Arc::new(Named("vm")));
    registry.register(Arc::new(Named("docker"))).expect("a new name");
    assert_eq!(registry.runner_names(), ["docker", "vm"]);
    assert_eq!(registry.default_runner_name(), "vm");
    assert_eq!(registry.resolve(None).expect("there is a default").name(), "vm");
    assert_eq!(
        registry.resolve(Some("docker")).expect("it was registered").name(),
        "docker"
    );
    let unknown = registry.resolve(Some("dokcer")).expect_err("a slip of the pen");
    assert_eq!(
        unknown.to_string(),
        "there is no runner \"dokcer\"; there is docker, vm"
    );
    let twice = registry.register(Arc::new(Named("vm"))).expect_err("the name is taken");
    assert_eq!(twice, RegistryError::Duplicate { name: "vm".to_owned() });
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Middle);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Middle(#[from] std::fmt::Error);

#[test]
fn causes_are_all_told_and_none_twice() {
    let error = StepError::engine(Outer(Middle(std::fmt::Error)));
    assert_eq!(causes(&error), ["outer", &std::fmt::Error.to_string()]);
}
