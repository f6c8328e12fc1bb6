//! How many steps may have a look-up open.

use std::num::NonZeroUsize;

/// Look-ups under way at a time: each is a task with buffers of its own.
const UNDER_WAY: usize = 64;

/// Counts look-ups under way, and the steps that hold what theirs took until they start.
///
/// A look-up may wait for the lock of its key. Whoever holds that lock runs or waits for a permit, never for a turn, so
/// the waits have no cycle.
#[derive(Debug)]
pub(super) struct LookupTurns {
    bound: NonZeroUsize,
    under_way: usize,
    held: usize,
}

impl LookupTurns {
    pub(super) fn new(bound: NonZeroUsize) -> Self {
        Self {
            bound,
            under_way: 0,
            held: 0,
        }
    }

    /// Whether one more may begin.
    pub(super) fn is_one_free(&self) -> bool {
        self.under_way < UNDER_WAY && self.under_way + self.held < self.bound.get()
    }

    /// A look-up begins.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// It was answered.
    pub(super) fn end(&mut self) {
        self.under_way -= 1;
    }

    /// A step that was looked up has to run, and waits for a permit.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// Such a step got its permit, or is never run.
    pub(super) fn let_go(&mut self) {
        self.held -= 1;
    }
}
