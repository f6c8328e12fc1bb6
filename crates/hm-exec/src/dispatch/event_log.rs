//! Where the events of a build go.

use std::error::Error;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, StepId, Stream};
use jiff::Timestamp;

/// Takes the events of one build, in order, for good. Cheap to clone; clones write to the same log.
///
/// It is a trait so that a log that fails (a full disk) can be tried.
pub(crate) trait EventLog: Clone + Send + Sync + Debug + 'static {
    type Error: Error + Send + Sync + 'static;

    fn append(&self, event: &BuildEvent) -> Result<(), Self::Error>;

    /// Output of a command as it was read.
    fn output(
        &self,
        step: StepIndex,
        step_id: StepId,
        stream: Stream,
        ts: Timestamp,
        bytes: &[u8],
    ) -> Result<(), Self::Error>;

    /// The command's output is complete: a line without an end is a line. Gives the file that holds it, where there was
    /// any. More may come after it.
    fn finish_output(&self, step: StepIndex) -> Result<Option<PathBuf>, Self::Error>;

    /// Puts in the log of an earlier run of the step.
    fn replay(&self, step: StepIndex, step_id: StepId, log: &Path) -> Result<(), Self::Error>;
}
