//! The language of Graphviz (<https://graphviz.org/doc/info/lang.html>).

use hm_pipeline_ir::{PipelineGraph, display_name};

use super::edges::edges;
use super::words::one_line;
use crate::append::append_line;

/// A `digraph`; dashed edges are order only.
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
    for edge in edges(graph) {
        let style = if edge.builds_in { "" } else { " [style=dashed]" };
        append_line(
            &mut text,
            format_args!("  n{} -> n{}{style};", edge.from.get(), edge.to.get()),
        );
    }
    text.push_str("}\n");
    text
}

/// A quoted ID. A backslash starts an escape of labels, so it is doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}
