//! The timers that the state armed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::clock::BuildClock;
use crate::state::Timer;

/// Timers by the age of the build at which they fire. None is ever disarmed: the state ignores those of ended steps.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Duration, Timer)>>,
}

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Duration) {
        self.heap.push(Reverse((at, timer)));
    }

    /// Waits for the next one. Never returns where there is none. May be dropped and called again.
    pub(super) async fn fired(&mut self, clock: &BuildClock) -> Timer {
        let next = self.heap.peek().and_then(|Reverse((at, _))| clock.at(*at));
        match next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        match self.heap.pop() {
            Some(Reverse((_, timer))) => timer,
            None => std::future::pending().await,
        }
    }
}
