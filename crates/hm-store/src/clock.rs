//! Where the time comes from.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells the time; a parameter, so that tests decide what it is.
pub trait Clock: Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's real-time clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
