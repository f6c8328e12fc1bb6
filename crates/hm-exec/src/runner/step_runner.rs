//! The trait.

use std::fmt::Debug;

use async_trait::async_trait;
use hm_pipeline_ir::Step;
use hm_plugin_protocol::{ExecutorInput, RunId, SnapshotRef, StepResult};

use hm_vm::StopToken;

use super::context::{BuildContext, StepContext};
use super::error::StepError;
use super::lookup::Lookup;

/// Does the work of one step.
///
/// The dispatcher calls for many steps at once. It never drops a future of [`StepRunner::lookup`] or
/// [`StepRunner::execute`] before its end: to have one end early it uses [`StepContext::stop`], and the runner answers
/// [`StepError::Stopped`] when nothing of the step is left running. All output was given to [`StepContext::output`] by
/// then.
#[async_trait]
pub trait StepRunner: Send + Sync + Debug {
    /// The word that a step's `runner` names it by.
    fn name(&self) -> &str;

    /// What is wrong with the step for this runner, such as its `runner_args`; asked before the build starts.
    fn objections(&self, step: &Step) -> Vec<String> {
        if step.runner_args.is_some() {
            vec![format!("the runner \"{}\" takes no runner_args", self.name())]
        } else {
            Vec::new()
        }
    }

    /// Gets ready what many steps of the build need, such as their images. Runs beside the first steps. What a
    /// step needs and can't have is that step's error, not one of this call.
    async fn prepare(&self, _build: &BuildContext, _images: &[&str], _stop: &StopToken) -> Result<(), StepError> {
        Ok(())
    }

    /// Asks the cache about a step that has a cache policy.
    async fn lookup(&self, _context: &StepContext) -> Result<Lookup, StepError> {
        Ok(Lookup::MissNoCommit)
    }

    /// Runs one attempt of a step.
    async fn execute(&self, context: &StepContext, input: ExecutorInput) -> Result<StepResult, StepError>;

    /// Lets go of snapshots that no further step of the build boots from. One that a cache entry refers to stays.
    async fn reap_snapshots(&self, snapshots: Vec<SnapshotRef>) -> Result<(), StepError>;

    /// The build is over: all its steps have ended and their snapshots were reaped.
    async fn end_build(&self, _run_id: RunId) -> Result<(), StepError> {
        Ok(())
    }
}
