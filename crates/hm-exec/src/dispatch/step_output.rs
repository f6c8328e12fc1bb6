//! From a machine straight to the log.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{StepId, Stream};
use hm_vm::{OutputSink, SharedError};
use tokio_util::sync::CancellationToken;

use super::clock::BuildClock;
use super::event_log::EventLog;
use crate::runner::StepLog;

/// The first thing that went wrong with the log. Everything that comes after it is lost, so the build has to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFailure {
    first: Arc<OnceLock<SharedError>>,
    happened: CancellationToken,
}

impl LogFailure {
    pub(super) fn note<E: Error + Send + Sync + 'static>(&self, result: Result<(), E>) {
        if let Err(error) = result {
            self.first.get_or_init(|| Arc::new(error));
            self.happened.cancel();
        }
    }

    pub(super) fn has_happened(&self) -> bool {
        self.happened.is_cancelled()
    }

    pub(super) async fn happened(&self) {
        self.happened.cancelled().await;
    }

    pub(super) fn first(&self) -> Option<SharedError> {
        self.first.get().map(Arc::clone)
    }
}

/// The output of one step.
pub(super) struct StepOutput<L> {
    pub(super) log: L,
    pub(super) failure: LogFailure,
    pub(super) clock: BuildClock,
    pub(super) step: StepIndex,
    pub(super) step_id: StepId,
}

impl<L: EventLog> OutputSink for StepOutput<L> {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        if !self.failure.has_happened() {
            let ts = self.clock.wall_time();
            self.failure
                .note(self.log.output(self.step, self.step_id, stream, ts, bytes));
        }
    }
}

impl<L> fmt::Debug for StepOutput<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepOutput")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl<L: EventLog> StepLog for StepOutput<L> {
    fn finish(&self) -> Option<PathBuf> {
        if self.failure.has_happened() {
            return None;
        }
        match self.log.finish_output(self.step) {
            Ok(file) => file,
            Err(error) => {
                self.failure.note(Err::<(), _>(error));
                None
            }
        }
    }
}

/// Output that has no place in the log yet: a look-up speaks before it is known how its step goes on.
#[derive(Debug, Default)]
pub(super) struct HeldOutput {
    chunks: Mutex<Vec<(Stream, Vec<u8>)>>,
}

impl HeldOutput {
    pub(super) fn take(&self) -> Vec<(Stream, Vec<u8>)> {
        std::mem::take(&mut self.chunks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputSink for HeldOutput {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        self.chunks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((stream, bytes.to_vec()));
    }
}

impl StepLog for HeldOutput {
    fn finish(&self) -> Option<PathBuf> {
        None
    }
}
