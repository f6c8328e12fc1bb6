//! What a runner is told about a step beside its input.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hm_pipeline_ir::{Pipeline, Step, StepIndex};
use hm_plugin_protocol::{RunId, SnapshotRef, StepId, Stream};
use hm_store::Workspace;
use hm_vm::{OutputSink, StopToken, Usage};

use super::keepsake::Keepsake;
use crate::root_images::RootImages;

/// Where a command runs inside its machine.
pub(crate) const WORKDIR: &str = "/workspace";

/// What all steps of a build share.
#[derive(Debug)]
pub struct BuildContext {
    /// The build.
    pub run_id: RunId,
    /// What it runs.
    pub pipeline: Arc<Pipeline>,
    /// Variables for every step, over those of the pipeline.
    pub env: BTreeMap<String, String>,
    /// The environment that `hm` runs in; cache policies may name variables of it, steps don't see it.
    pub machine_env: BTreeMap<String, String>,
    /// What root steps boot from.
    pub images: RootImages,
    /// No earlier result is used; good ones of this build take their place.
    pub no_cache: bool,
    /// The captured workspace; none where the build has no files.
    pub workspace: Option<Arc<Workspace>>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl BuildContext {
    /// What the step boots from if it is a root step.
    pub fn root_image(&self, at: StepIndex) -> &str {
        self.images.of(&self.pipeline, at)
    }

    /// The whole environment of a step's command: the pipeline's, and over it what was given for the build.
    pub fn env(&self, at: StepIndex) -> BTreeMap<String, String> {
        let mut env = self.pipeline.graph().env(at).clone();
        env.extend(self.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env
    }
}

/// The part of the file system that a step has to leave for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// Steps of this build boot from it: a step that passes must leave a snapshot.
    pub snapshot: bool,
    /// And so must one whose command fails.
    pub when_failed: bool,
}

/// The log of one step.
pub(crate) trait StepLog: OutputSink {
    /// The output is complete; the file that holds it.
    fn finish(&self) -> Option<PathBuf>;
}

/// What a runner is told about a step beside its input. Lives for one look-up or one attempt.
pub struct StepContext {
    pub(crate) build: Arc<BuildContext>,
    pub(crate) at: StepIndex,
    pub(crate) step_id: StepId,
    pub(crate) parent_snapshot: Option<SnapshotRef>,
    pub(crate) parent_keepsake: Option<Arc<Keepsake>>,
    pub(crate) is_last_child: bool,
    pub(crate) keep: Keep,
    pub(crate) stop: StopToken,
    pub(crate) output: Arc<dyn StepLog>,
    pub(crate) held: Mutex<Option<Keepsake>>,
    pub(crate) keepsake: OnceLock<Keepsake>,
    pub(crate) usage: OnceLock<Usage>,
}

impl StepContext {
    /// What all steps of the build share.
    pub fn build(&self) -> &BuildContext {
        &self.build
    }

    /// Where the step is in its pipeline.
    pub fn at(&self) -> StepIndex {
        self.at
    }

    /// The step in the build.
    pub fn step_id(&self) -> StepId {
        self.step_id
    }

    /// The step as the pipeline says it.
    pub fn step(&self) -> &Step {
        self.build.pipeline.graph().step(self.at)
    }

    /// The whole environment of the command: the pipeline's, and over it what was given for the build.
    pub fn env(&self) -> BTreeMap<String, String> {
        self.build.env(self.at)
    }

    /// Where a root step boots from; none for a step that boots from another's snapshot.
    pub fn image(&self) -> Option<&str> {
        self.build
            .pipeline
            .graph()
            .parent(self.at)
            .is_none()
            .then(|| self.build.root_image(self.at))
    }

    /// The snapshot that the step boots from; none for a root step.
    pub fn parent_snapshot(&self) -> Option<&SnapshotRef> {
        self.parent_snapshot.as_ref()
    }

    /// Whether no other step of the build boots from what this one boots from any more.
    pub fn is_last_child(&self) -> bool {
        self.is_last_child
    }

    /// What the runner left with [`StepContext::remember`] at the step that this one boots from.
    pub fn parent_keepsake<T: std::any::Any>(&self) -> Option<&T> {
        self.parent_keepsake.as_ref().and_then(|keepsake| keepsake.get())
    }

    /// What the step has to leave for others.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Tells the step to stop.
    pub fn stop(&self) -> &StopToken {
        &self.stop
    }

    /// Takes the command's output, at once and for good.
    pub fn output(&self) -> Arc<dyn OutputSink> {
        Arc::clone(&self.output) as Arc<dyn OutputSink>
    }

    /// Says that the command's output is complete, and gives the file that holds it. None where there was no output, or
    /// where the log can't be written, which stops the build.
    pub fn finish_log(&self) -> Option<PathBuf> {
        self.output.finish()
    }

    /// Puts a line about the step into its log.
    pub fn note(&self, text: &str) {
        self.output.write(Stream::Note, format!("{text}\n").as_bytes());
    }

    /// What the runner's look-up held for this step, if it is a `T`.
    pub fn take_held<T: std::any::Any>(&self) -> Option<T> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .and_then(Keepsake::into)
    }

    /// Leaves something for the steps that boot from this one. Only the first counts.
    pub fn remember<T: std::any::Any + Send + Sync>(&self, value: T) {
        self.keepsake.get_or_init(|| Keepsake::new(value));
    }

    /// Says what the command used. Only the first counts.
    pub fn report_usage(&self, usage: Usage) {
        self.usage.get_or_init(|| usage);
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("key", &self.step().key)
            .field("step_id", &self.step_id)
            .field("parent_snapshot", &self.parent_snapshot)
            .field("keep", &self.keep)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}
