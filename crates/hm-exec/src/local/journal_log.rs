//! The journal as the dispatcher's log and as a source of events.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, Sequenced, StepId, Stream};
use hm_store::{Journal, JournalError, JournalReader};
use jiff::Timestamp;

use crate::backend::{EventSource, EventsError};
use crate::dispatch::EventLog;

impl EventLog for Journal {
    type Error = JournalError;

    fn append(&self, event: &BuildEvent) -> Result<(), JournalError> {
        Journal::append(self, event).map(|_| ())
    }

    fn output(
        &self,
        step: StepIndex,
        step_id: StepId,
        stream: Stream,
        ts: Timestamp,
        bytes: &[u8],
    ) -> Result<(), JournalError> {
        self.append_output(step, step_id, stream, ts, bytes)
    }

    fn finish_output(&self, step: StepIndex) -> Result<Option<PathBuf>, JournalError> {
        Journal::finish_output(self, step)?;
        Ok(self.log_path(step))
    }

    fn replay(&self, step: StepIndex, step_id: StepId, log: &Path) -> Result<(), JournalError> {
        self.replay_log(step, step_id, log)
    }
}

#[async_trait]
impl EventSource for JournalReader {
    async fn next_batch(&mut self, max: usize) -> Result<Option<Vec<Sequenced>>, EventsError> {
        JournalReader::next_batch(self, max).await.map_err(EventsError::new)
    }
}
