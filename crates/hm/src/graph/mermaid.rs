//! The language of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>).

use hm_pipeline_ir::{PipelineGraph, display_name};

use super::edges::edges;
use super::words::one_line;
use crate::append::{append, append_line};

/// A flowchart; dotted edges are order only.
pub(crate) fn mermaid(graph: &PipelineGraph) -> String {
    let mut text = String::from("flowchart LR\n");
    for at in graph.indices() {
        let label = escaped(&display_name(graph.step(at)));
        append_line(&mut text, format_args!("  n{}[\"{label}\"]", at.get()));
    }
    for edge in edges(graph) {
        let arrow = if edge.builds_in { "-->" } else { "-.->" };
        append_line(
            &mut text,
            format_args!("  n{} {arrow} n{}", edge.from.get(), edge.to.get()),
        );
    }
    text
}

/// What means something in a label, as an entity code. A label must not be empty.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in one_line(text).chars() {
        match character {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | ';' | '*' | '_' | '~' => {
                append(&mut escaped, format_args!("#{};", u32::from(character)));
            }
            _ => escaped.push(character),
        }
    }
    if escaped.is_empty() {
        escaped.push(' ');
    }
    escaped
}
