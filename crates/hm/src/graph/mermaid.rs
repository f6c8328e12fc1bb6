//! The language of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>).

use hm_pipeline_ir::{PipelineGraph, display_name};

use super::bundles::lines;
use super::words::one_line;
use crate::append::{append, append_line};

/// A flowchart; dotted edges are order only, and small circles are where many of them meet.
pub(crate) fn mermaid(graph: &PipelineGraph) -> String {
    let mut text = String::from("flowchart LR\n");
    for at in graph.indices() {
        let label = escaped(&display_name(graph.step(at)));
        append_line(&mut text, format_args!("  n{}[\"{label}\"]", at.get()));
    }
    let drawn = lines(graph);
    for junction in 0..drawn.junctions.len() {
        append_line(&mut text, format_args!("  n{}(( ))", graph.len() + junction));
    }
    for line in drawn.lines {
        let arrow = match line {
            line if line.builds_in => "-->",
            line if line.to >= graph.len() => "-.-",
            _ => "-.->",
        };
        append_line(&mut text, format_args!("  n{} {arrow} n{}", line.from, line.to));
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
