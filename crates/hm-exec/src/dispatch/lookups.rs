//! How many look-ups are under way.

use std::collections::VecDeque;

/// Look-ups take no permit, but each is a task with buffers of its own: in a build with 100,000 cached steps they wait
/// for their turn here instead. A look-up that waits for the lock of its key holds its turn; whoever has that lock runs
/// or waits for a permit, never for a turn.
#[derive(Debug)]
pub(super) struct LookupQueue<T> {
    waiting: VecDeque<T>,
    free: usize,
}

const AT_A_TIME: usize = 64;

impl<T> LookupQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            free: AT_A_TIME,
        }
    }

    pub(super) fn push(&mut self, lookup: T) {
        self.waiting.push_back(lookup);
    }

    /// The next one that has its turn.
    pub(super) fn take_turn(&mut self) -> Option<T> {
        if self.free == 0 {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.free -= 1;
        Some(next)
    }

    pub(super) fn turn_ended(&mut self) {
        self.free += 1;
    }
}
