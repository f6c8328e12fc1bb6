//! A picture that a browser shows.

use hm_pipeline_ir::{PipelineGraph, StepIndex, display_name};

use super::layout::{Layout, Place, Sizes, layout};
use super::words::{cut, one_line};
use crate::append::{append, append_line};

const MARGIN: f64 = 20.0;
const BOX_WIDTH: f64 = 220.0;
const BOX_HEIGHT: f64 = 46.0;
/// Between two layers; edges bend there.
const LAYER_GAP: f64 = 64.0;
const SIZES: Sizes = Sizes {
    box_height: BOX_HEIGHT,
    point_height: 6.0,
    gap: 16.0,
};
/// Characters of a name that fit into a box, and of the smaller, fixed-width command.
const NAME_COLUMNS: usize = 27;
const COMMAND_COLUMNS: usize = 30;

const STYLE: &str = "text{font:600 13px system-ui,sans-serif;fill:#1f2328}\
    .c{font:11px ui-monospace,monospace;fill:#59636e}\
    rect{fill:#f6f8fa;stroke:#818b98}\
    .p{fill:#fff;stroke:none}\
    path{fill:none;stroke:#818b98;stroke-width:1.5}\
    .o{stroke-dasharray:5 4}\
    #a path{fill:#818b98;stroke:none}";

/// The whole document. Dashed edges are order only.
pub(crate) fn svg(name: &str, graph: &PipelineGraph) -> String {
    let plan = layout(graph, SIZES);
    let width = 2.0 * MARGIN + left(plan.layers) - left(0) - if plan.layers > 0 { LAYER_GAP } else { 0.0 };
    let height = 2.0 * MARGIN + plan.height;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"p\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n",
        escaped(name)
    );
    draw_edges(&plan, &mut text);
    for at in graph.indices() {
        draw_box(graph, at, plan.places[at.get()], &mut text);
    }
    text.push_str("</svg>\n");
    text
}

fn draw_edges(plan: &Layout, text: &mut String) {
    for (edge, points) in &plan.edges {
        let class = if edge.builds_in { "" } else { " class=\"o\"" };
        let from = plan.places[edge.from.get()];
        let to = plan.places[edge.to.get()];
        let mut x = left(from.layer) + BOX_WIDTH;
        let mut y = from.y + MARGIN;
        append(
            text,
            format_args!("<path{class} marker-end=\"url(#a)\" d=\"M{x:.0} {y:.0}"),
        );
        for place in points.iter().chain([&to]) {
            let (next_x, next_y) = (left(place.layer), place.y + MARGIN);
            let middle = f64::midpoint(x, next_x);
            append(
                text,
                format_args!("C{middle:.0} {y:.0} {middle:.0} {next_y:.0} {next_x:.0} {next_y:.0}"),
            );
            x = next_x;
            y = next_y;
            if *place != to {
                x += BOX_WIDTH;
                append(text, format_args!("H{x:.0}"));
            }
        }
        text.push_str("\"/>\n");
    }
}

fn draw_box(graph: &PipelineGraph, at: StepIndex, place: Place, text: &mut String) {
    let step = graph.step(at);
    let x = left(place.layer);
    let y = place.y + MARGIN;
    let name = cut(&display_name(step), NAME_COLUMNS);
    let command = cut(&step.cmd, COMMAND_COLUMNS);
    append_line(
        text,
        format_args!(
            "<g><title>{}</title><rect x=\"{x:.0}\" y=\"{:.0}\" width=\"{BOX_WIDTH:.0}\" height=\"{BOX_HEIGHT:.0}\" rx=\"6\"/>\
         <text x=\"{:.0}\" y=\"{:.0}\">{}</text><text class=\"c\" x=\"{:.0}\" y=\"{:.0}\">{}</text></g>",
            escaped(&one_line(&step.cmd)),
            y - BOX_HEIGHT / 2.0,
            x + 12.0,
            y - 3.0,
            escaped(&name),
            x + 12.0,
            y + 14.0,
            escaped(&command),
        ),
    );
}

/// The left side of a layer's boxes.
#[expect(clippy::cast_precision_loss, reason = "no graph has 2^52 layers")]
fn left(layer: usize) -> f64 {
    MARGIN + layer as f64 * (BOX_WIDTH + LAYER_GAP)
}

/// Text as XML 1.0 takes it: markup escaped, characters that no document may hold replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}
