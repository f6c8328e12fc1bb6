//! The one clock of a build.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The age of a build, and the wall time that goes with it: the start plus the age, so that neither goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildClock {
    started: Instant,
    started_at: Timestamp,
}

impl BuildClock {
    /// A build that starts at the wall time `started_at`, which is when this is called.
    pub(crate) fn start(started_at: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            started_at,
        }
    }

    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn at(&self, age: Duration) -> Option<Instant> {
        self.started.checked_add(age)
    }

    pub(crate) fn wall_time(&self) -> Timestamp {
        let age = SignedDuration::try_from(self.age()).unwrap_or(SignedDuration::MAX);
        self.started_at.saturating_add(age).unwrap_or(Timestamp::MAX)
    }
}
