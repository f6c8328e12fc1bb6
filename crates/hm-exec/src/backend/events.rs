//! The events of a build, each reader at its own speed.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use hm_plugin_protocol::Sequenced;

/// The events of a build can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read the build's events")]
pub struct EventsError {
    source: Box<dyn Error + Send + Sync>,
}

impl EventsError {
    /// For sources.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}

/// Where events come from.
#[async_trait]
pub trait EventSource: Send + Debug {
    /// The next events in order, at least one and at most `max`; waits for them. `None` after the last one. May be dropped and called
    /// again.
    async fn next_batch(&mut self, max: usize) -> Result<Option<Vec<Sequenced>>, EventsError>;
}

/// The events of a build. A reader that is slow or stops reading loses nothing, holds nothing up and costs no memory:
/// they are read from the build's journal.
#[derive(Debug)]
pub struct EventStream {
    source: Box<dyn EventSource>,
}

impl EventStream {
    /// Reads from `source`.
    pub fn new(source: impl EventSource + 'static) -> Self {
        Self {
            source: Box::new(source),
        }
    }

    /// The next events in order, at least one and at most `max`; waits for them. `None` after the last one. May be dropped and called
    /// again.
    pub async fn next_batch(&mut self, max: usize) -> Result<Option<Vec<Sequenced>>, EventsError> {
        self.source.next_batch(max).await
    }
}
