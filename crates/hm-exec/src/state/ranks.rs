//! Which of several ready steps goes first: the one with the longest remaining path.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hm_pipeline_ir::{PipelineGraph, StepIndex};

use super::selection::Selection;

/// Length of a step whose time nobody knows, where no other step's is known either.
const UNKNOWN: Duration = Duration::from_secs(1);

/// For each step the time from its start to the end of the longest path that it begins, in microseconds.
///
/// `known` gives the time each step took in earlier builds; a missing one counts as the median of those known.
pub(super) fn longest_remaining(
    graph: &PipelineGraph,
    selection: &Selection,
    known: &dyn Fn(StepIndex) -> Option<Duration>,
) -> Vec<u64> {
    let own: Vec<Option<u64>> = graph.indices().map(|at| known(at).map(micros)).collect();
    let median = median(own.iter().flatten().copied().collect());
    let mut remaining = vec![0_u64; graph.len()];
    for &at in graph.topological().iter().rev() {
        let after = graph.dependents(at).iter().filter(|&&next| selection.contains(next));
        let longest = after.map(|next| remaining[next.get()]).max().unwrap_or(0);
        remaining[at.get()] = longest.saturating_add(own[at.get()].unwrap_or(median));
    }
    remaining
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn median(mut known: Vec<u64>) -> u64 {
    if known.is_empty() {
        return micros(UNKNOWN);
    }
    let middle = known.len() / 2;
    *known.select_nth_unstable(middle).1
}

/// Steps that wait for their turn: longest remaining path first, document order among equals.
#[derive(Debug, Default)]
pub(super) struct RankedQueue {
    heap: BinaryHeap<(u64, Reverse<StepIndex>)>,
}

impl RankedQueue {
    pub(super) fn push(&mut self, step: StepIndex, remaining: u64) {
        self.heap.push((remaining, Reverse(step)));
    }

    pub(super) fn pop(&mut self) -> Option<StepIndex> {
        self.heap.pop().map(|(_, Reverse(step))| step)
    }
}
