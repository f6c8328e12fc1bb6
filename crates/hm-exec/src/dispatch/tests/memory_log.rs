//! A log in memory, which fails after a number of events if told to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, StepId, Stream};
use jiff::Timestamp;

use crate::dispatch::EventLog;

#[derive(Clone, Debug, Default)]
pub(super) struct MemoryLog {
    pub(super) events: Arc<Mutex<Vec<BuildEvent>>>,
    pub(super) room: Option<usize>,
}

#[derive(Debug, thiserror::Error)]
#[error("no space left on device")]
pub(super) struct Full;

impl MemoryLog {
    fn push(&self, event: BuildEvent) -> Result<(), Full> {
        let mut events = self.events.lock().expect("no test panics while it holds this");
        if self.room.is_some_and(|room| events.len() >= room) {
            return Err(Full);
        }
        events.push(event);
        Ok(())
    }
}

impl EventLog for MemoryLog {
    type Error = Full;

    fn append(&self, event: &BuildEvent) -> Result<(), Full> {
        self.push(event.clone())
    }

    fn output(
        &self,
        _step: StepIndex,
        step_id: StepId,
        stream: Stream,
        ts: Timestamp,
        bytes: &[u8],
    ) -> Result<(), Full> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        lines.try_for_each(|line| {
            self.push(BuildEvent::StepLog {
                step_id,
                stream,
                line: line.to_owned(),
                ts: ts.to_string(),
            })
        })
    }

    fn finish_output(&self, _step: StepIndex) -> Result<Option<PathBuf>, Full> {
        Ok(None)
    }

    fn replay(&self, step: StepIndex, step_id: StepId, log: &Path) -> Result<(), Full> {
        let text = format!("replayed {}\n", log.display());
        self.output(step, step_id, Stream::Stdout, Timestamp::UNIX_EPOCH, text.as_bytes())
    }
}
