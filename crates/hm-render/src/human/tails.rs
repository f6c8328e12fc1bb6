//! The last lines of each step, for the summary.

use std::collections::{HashMap, VecDeque};

use hm_plugin_protocol::StepId;

const LINES: usize = 10;
const LINE_CHARS: usize = 400;

/// Holds at most [`LINES`] lines of at most [`LINE_CHARS`] characters for each step that it is not told to forget.
#[derive(Debug, Default)]
pub(super) struct Tails {
    of: HashMap<StepId, VecDeque<String>>,
}

impl Tails {
    pub(super) fn push(&mut self, step: StepId, line: &str) {
        let lines = self.of.entry(step).or_default();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LINE_CHARS).collect());
    }

    pub(super) fn forget(&mut self, step: StepId) {
        self.of.remove(&step);
    }

    pub(super) fn lines(&self, step: StepId) -> impl Iterator<Item = &str> {
        self.of.get(&step).into_iter().flatten().map(String::as_str)
    }
}
