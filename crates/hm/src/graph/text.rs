//! A tree for a terminal: each machine's steps one below the other, branches to the right.

use hm_pipeline_ir::{PipelineGraph, StepIndex, display_name};

use super::edges::edges;
use super::words::{cache_policy, cut, one_line, width};
use crate::append::append;

/// Keys named in one `after`.
const NAMED: usize = 4;
/// Columns that names are aligned at, at most.
const WIDEST: usize = 48;

/// The whole picture, every line ended.
///
/// `o` starts on a fresh machine; a `*` right below continues where the step above it ended, and one behind a branch
/// continues from where the branch starts. `after` names what else a step waits for.
pub(crate) fn text(graph: &PipelineGraph) -> String {
    let lines = lines(graph);
    let after = afters(graph);
    let widest = lines
        .iter()
        .map(|line| width(&line.head))
        .max()
        .unwrap_or(0)
        .min(WIDEST);
    let mut text = String::new();
    let mut last_was_alone = true;
    for (place, line) in lines.iter().enumerate() {
        let starts = graph.parent(line.step).is_none();
        if starts && place > 0 {
            let alone = graph.children(line.step).is_empty();
            if !(alone && last_was_alone) {
                text.push('\n');
            }
        }
        last_was_alone = starts && graph.children(line.step).is_empty();
        let details = details(graph, line.step, &after[line.step.get()]);
        if details.is_empty() {
            text.push_str(&line.head);
        } else {
            let padding = widest.saturating_sub(width(&line.head));
            append(&mut text, format_args!("{}{:padding$}  {details}", line.head, ""));
        }
        text.push('\n');
    }
    text
}

struct Line {
    step: StepIndex,
    /// Branches, mark and key.
    head: String,
}

/// Every step below the one it boots from, in document order. A loop, since chains can be longer than a call stack.
fn lines(graph: &PipelineGraph) -> Vec<Line> {
    let roots = graph.indices().filter(|step| graph.parent(*step).is_none());
    let mut waiting: Vec<(StepIndex, String, String)> =
        roots.map(|root| (root, "o".to_owned(), String::new())).collect();
    waiting.reverse();
    let mut lines = Vec::with_capacity(graph.len());
    while let Some((step, mark, below)) = waiting.pop() {
        let key = one_line(graph.step(step).key.as_str());
        lines.push(Line {
            step,
            head: format!("{mark} {key}"),
        });
        match graph.children(step) {
            [only] => waiting.push((*only, format!("{below}*"), below)),
            several => {
                let last = several.len().saturating_sub(1);
                let branches = several.iter().enumerate().rev().map(|(place, child)| {
                    let (branch, rest) = if place == last { ("`-", "  ") } else { ("|-", "| ") };
                    (*child, format!("{below}{branch}*"), format!("{below}{rest}"))
                });
                waiting.extend(branches);
            }
        }
    }
    lines
}

/// For each step the ones it waits for without booting from them.
fn afters(graph: &PipelineGraph) -> Vec<Vec<StepIndex>> {
    let mut afters = vec![Vec::new(); graph.len()];
    for edge in edges(graph).iter().filter(|edge| !edge.builds_in) {
        afters[edge.to.get()].push(edge.from);
    }
    afters
}

fn details(graph: &PipelineGraph, at: StepIndex, after: &[StepIndex]) -> String {
    let step = graph.step(at);
    let mut details = vec![cut(&display_name(step), 40)];
    if let Some(image) = step.image.as_ref().filter(|_| graph.parent(at).is_none()) {
        details.push(format!("[{}]", one_line(image)));
    }
    if let Some(policy) = cache_policy(step) {
        details.push(format!("(cached {})", one_line(policy)));
    }
    if !after.is_empty() {
        let keys: Vec<String> = after
            .iter()
            .take(NAMED)
            .map(|earlier| one_line(graph.step(*earlier).key.as_str()))
            .collect();
        let more = after.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        details.push(format!("after {}{more}", keys.join(", ")));
    }
    // A name that only repeats the key tells nothing.
    if details[0] == one_line(step.key.as_str()) {
        details.remove(0);
    }
    details.join("  ")
}
