//! The language of Graphviz (<https://graphviz.org/doc/info/lang.html>).

use hm_pipeline_ir::{PipelineGraph, display_name};

use super::bundles::lines;
use super::words::one_line;
use crate::append::append_line;

/// A `digraph`; dashed edges are order only, and points are where many of them meet.
pub(crate) fn dot(name: &str, graph: &PipelineGraph) -> String {
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n",
        quoted(name)
    );
    for at in graph.indices() {
        let step = graph.step(at);
        let label = quoted(&display_name(step));
        let command = quoted(&step.cmd);
        append_line(
            &mut text,
            format_args!("  n{} [label={label}, tooltip={command}];", at.get()),
        );
    }
    let drawn = lines(graph);
    for junction in 0..drawn.junctions.len() {
        append_line(&mut text, format_args!("  n{} [shape=point];", graph.len() + junction));
    }
    for line in drawn.lines {
        let style = match line {
            line if line.builds_in => "",
            line if line.to >= graph.len() => " [style=dashed, arrowhead=none]",
            _ => " [style=dashed]",
        };
        append_line(&mut text, format_args!("  n{} -> n{}{style};", line.from, line.to));
    }
    text.push_str("}\n");
    text
}

/// A quoted ID. A backslash starts an escape of labels, so it is doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}
