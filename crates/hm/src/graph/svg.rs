//! A picture that a browser shows.

use hm_pipeline_ir::{PipelineGraph, StepIndex, display_name};

use super::layout::{Layout, Sizes, layout};
use super::words::{cut, one_line};
use crate::append::{append, append_line};

const MARGIN: f64 = 20.0;
const BOX_WIDTH: f64 = 220.0;
const BOX_HEIGHT: f64 = 46.0;
/// Between two layers; edges bend there.
const LAYER_GAP: f64 = 64.0;
/// Of a layer that only lines pass, and junctions.
const NARROW: f64 = 8.0;
/// Radius of a junction.
const JUNCTION: f64 = 4.0;
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
    circle{fill:#818b98}\
    #a path{fill:#818b98;stroke:none}";

/// The whole document. Dashed lines are order only.
pub(crate) fn svg(name: &str, graph: &PipelineGraph) -> String {
    let plan = layout(graph, SIZES);
    let columns = columns(&plan.layers);
    let width = MARGIN + columns.last().map_or(MARGIN, |last| last.left + last.width);
    let height = 2.0 * MARGIN + plan.height;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"p\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n",
        escaped(name)
    );
    draw_lines(&plan, &columns, graph.len(), &mut text);
    let (boxes, junctions) = plan.places.split_at(graph.len());
    for (at, place) in graph.indices().zip(boxes) {
        draw_box(graph, at, columns[place.layer].left, place.y + MARGIN, &mut text);
    }
    for place in junctions {
        let x = columns[place.layer].middle();
        let y = place.y + MARGIN;
        append_line(
            &mut text,
            format_args!("<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"{JUNCTION:.0}\"/>"),
        );
    }
    text.push_str("</svg>\n");
    text
}

/// The space of a layer.
struct Column {
    left: f64,
    width: f64,
}

impl Column {
    fn middle(&self) -> f64 {
        self.left + self.width / 2.0
    }
}

/// The columns of layers, of which each has steps or has not.
fn columns(layers: &[bool]) -> Vec<Column> {
    let mut columns = Vec::with_capacity(layers.len());
    let mut left = MARGIN;
    for has_steps in layers {
        let width = if *has_steps { BOX_WIDTH } else { NARROW };
        columns.push(Column { left, width });
        left += width + LAYER_GAP;
    }
    columns
}

/// `steps` is the number of places that are steps and not junctions.
fn draw_lines(plan: &Layout, columns: &[Column], steps: usize, text: &mut String) {
    for (line, points) in &plan.lines {
        let class = if line.builds_in { "" } else { " class=\"o\"" };
        let arrow = if line.to < steps { " marker-end=\"url(#a)\"" } else { "" };
        let from = plan.places[line.from];
        let to = plan.places[line.to];
        let column = &columns[from.layer];
        let mut x = if line.from < steps {
            column.left + column.width
        } else {
            column.middle()
        };
        let mut y = from.y + MARGIN;
        append(text, format_args!("<path{class}{arrow} d=\"M{x:.0} {y:.0}"));
        for place in points.iter().chain([&to]) {
            let column = &columns[place.layer];
            let is_junction = *place == to && line.to >= steps;
            let (next_x, next_y) = (
                if is_junction { column.middle() } else { column.left },
                place.y + MARGIN,
            );
            let middle = f64::midpoint(x, next_x);
            append(
                text,
                format_args!("C{middle:.0} {y:.0} {middle:.0} {next_y:.0} {next_x:.0} {next_y:.0}"),
            );
            x = next_x;
            y = next_y;
            if *place != to {
                x += column.width;
                append(text, format_args!("H{x:.0}"));
            }
        }
        text.push_str("\"/>\n");
    }
}

fn draw_box(graph: &PipelineGraph, at: StepIndex, x: f64, y: f64, text: &mut String) {
    let step = graph.step(at);
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
