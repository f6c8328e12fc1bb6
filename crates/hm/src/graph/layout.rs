//! Where boxes and edges of a drawing go: layers from left to right, after Sugiyama, Tagawa and Toda (1981).
//!
//! The layer of a step or junction is the length of the longest path to it. A line over several layers passes each of them
//! at a *point*, which takes part in the ordering as steps do. Order within a layer follows the mean of the neighbours' places, heights
//! are the closest to the neighbours' that keep the distances. Nothing is random, so one graph has one picture.

use hm_pipeline_ir::{PipelineGraph, StepIndex};

use super::bundles::{Line, Lines, lines};

/// Passes over all layers that look for an order with few crossings.
const ORDER_PASSES: usize = 12;
/// Passes that look for heights.
const HEIGHT_PASSES: usize = 12;
/// Points on long edges, at most; with more, long edges are drawn straight.
const MOST_POINTS: usize = 100_000;

/// Sizes, in the unit of the drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) box_height: f64,
    pub(super) point_height: f64,
    pub(super) gap: f64,
}

/// A finished layout.
#[derive(Debug)]
pub(super) struct Layout {
    /// Layer and middle height of each step, then of each junction.
    pub(super) places: Vec<Place>,
    /// Each line with the places it passes on its way.
    pub(super) lines: Vec<(Line, Vec<Place>)>,
    /// For each layer whether it has steps.
    pub(super) layers: Vec<bool>,
    /// Height of the whole, the upper edge being 0.
    pub(super) height: f64,
}

/// A layer and the height of the middle in it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) y: f64,
}

/// Lays a graph out.
pub(super) fn layout(graph: &PipelineGraph, sizes: Sizes) -> Layout {
    let mut net = Net::of(graph);
    net.order();
    let heights = net.heights(sizes);
    let top = |vertex: usize| heights[vertex] - net.height(vertex, sizes) / 2.0;
    let bottom = |vertex: usize| heights[vertex] + net.height(vertex, sizes) / 2.0;
    let highest = (0..heights.len()).map(top).fold(f64::INFINITY, f64::min);
    let lowest = (0..heights.len()).map(bottom).fold(0.0, f64::max);
    let place = |vertex: &usize| Place {
        layer: net.layer_of[*vertex],
        y: heights[*vertex] - highest,
    };
    Layout {
        places: (0..net.ends).map(|vertex| place(&vertex)).collect(),
        lines: net
            .lines
            .iter()
            .map(|(line, points)| (*line, points.iter().map(place).collect()))
            .collect(),
        layers: net
            .layers
            .iter()
            .map(|layer| layer.iter().any(|vertex| *vertex < net.steps))
            .collect(),
        height: if heights.is_empty() { 0.0 } else { lowest - highest },
    }
}

/// Steps, junctions and points as vertices, in this order, linked between neighbouring layers only.
struct Net {
    steps: usize,
    /// Steps and junctions, where lines end.
    ends: usize,
    layer_of: Vec<usize>,
    /// Vertices of each layer in their order.
    layers: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    lines: Vec<(Line, Vec<usize>)>,
}

impl Net {
    fn of(graph: &PipelineGraph) -> Self {
        let drawn = lines(graph);
        let ends = graph.len() + drawn.junctions.len();
        let mut net = Self {
            steps: graph.len(),
            ends,
            layer_of: longest_paths(graph, &drawn),
            layers: Vec::new(),
            before: vec![Vec::new(); ends],
            after: vec![Vec::new(); ends],
            lines: Vec::new(),
        };
        let span = |line: &Line| net.layer_of[line.to] - net.layer_of[line.from];
        let with_points = drawn.lines.iter().map(|line| span(line) - 1).sum::<usize>() <= MOST_POINTS;
        for line in drawn.lines {
            net.link(line, with_points);
        }
        let count = net.layer_of.iter().max().map_or(0, |last| last + 1);
        net.layers = vec![Vec::new(); count];
        for (vertex, layer) in net.layer_of.iter().enumerate() {
            net.layers[*layer].push(vertex);
        }
        net
    }

    fn link(&mut self, line: Line, with_points: bool) {
        let Line { from, to, .. } = line;
        let mut points = Vec::new();
        let mut last = from;
        if with_points {
            for layer in self.layer_of[from] + 1..self.layer_of[to] {
                let point = self.layer_of.len();
                self.layer_of.push(layer);
                self.before.push(vec![last]);
                self.after.push(Vec::new());
                self.after[last].push(point);
                points.push(point);
                last = point;
            }
        }
        self.after[last].push(to);
        self.before[to].push(last);
        self.lines.push((line, points));
    }

    /// Orders each layer by its neighbours, to and fro, and keeps the best that was seen.
    fn order(&mut self) {
        let mut place = vec![0.0; self.layer_of.len()];
        self.number(&mut place);
        let mut best = (self.crossings(&place), self.layers.clone());
        for pass in 0..ORDER_PASSES {
            let forward = pass % 2 == 0;
            for turn in 0..self.layers.len() {
                let layer = if forward { turn } else { self.layers.len() - 1 - turn };
                let neighbours = if forward { &self.before } else { &self.after };
                let mean = |vertex: usize| mean(&neighbours[vertex], &place).unwrap_or(place[vertex]);
                self.layers[layer].sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
                number_layer(&self.layers[layer], &mut place);
            }
            let crossings = self.crossings(&place);
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    fn number(&self, place: &mut [f64]) {
        for layer in &self.layers {
            number_layer(layer, place);
        }
    }

    /// Crossings between all neighbouring layers: inversions among the ends of links that are sorted by their starts.
    fn crossings(&self, place: &[f64]) -> usize {
        let mut crossings = 0;
        for layer in &self.layers {
            let mut ends = Vec::new();
            for vertex in layer {
                let start = ends.len();
                ends.extend(self.after[*vertex].iter().map(|to| place[*to]));
                ends[start..].sort_by(f64::total_cmp);
            }
            crossings += inversions(&mut ends);
        }
        crossings
    }

    fn height(&self, vertex: usize, sizes: Sizes) -> f64 {
        if vertex < self.steps {
            sizes.box_height
        } else {
            sizes.point_height
        }
    }

    fn heights(&self, sizes: Sizes) -> Vec<f64> {
        let mut heights = vec![0.0; self.layer_of.len()];
        for layer in &self.layers {
            self.place_layer(layer, sizes, &mut heights, |_, _| Some(0.0));
        }
        for pass in 0..HEIGHT_PASSES {
            let forward = pass % 2 == 1;
            for turn in 0..self.layers.len() {
                let layer = if forward { turn } else { self.layers.len() - 1 - turn };
                let neighbours = if forward { &self.before } else { &self.after };
                self.place_layer(&self.layers[layer], sizes, &mut heights, |vertex, heights| {
                    mean(&neighbours[vertex], heights)
                });
            }
        }
        heights
    }

    /// Moves a layer's vertices as close as can be (least squares) to what each wants, with the gaps kept. Less the
    /// distance from the first vertex, heights must not fall: pooling adjacent violators solves that exactly.
    fn place_layer(
        &self,
        layer: &[usize],
        sizes: Sizes,
        heights: &mut [f64],
        wanted: impl Fn(usize, &[f64]) -> Option<f64>,
    ) {
        let mut pools: Vec<(f64, usize)> = Vec::with_capacity(layer.len());
        let mut offsets = Vec::with_capacity(layer.len());
        let mut offset = 0.0;
        for (position, vertex) in layer.iter().enumerate() {
            if position > 0 {
                let both = self.height(layer[position - 1], sizes) + self.height(*vertex, sizes);
                offset += both / 2.0 + sizes.gap;
            }
            offsets.push(offset);
            let mut pool = (wanted(*vertex, heights).unwrap_or(heights[*vertex]) - offset, 1);
            while let Some(last) = pools.pop_if(|last| last.0 > pool.0) {
                pool = (weighted(last, pool), last.1 + pool.1);
            }
            pools.push(pool);
        }
        let values = pools
            .iter()
            .flat_map(|(value, size)| std::iter::repeat_n(*value, *size));
        for ((vertex, offset), value) in layer.iter().zip(offsets).zip(values) {
            heights[*vertex] = value + offset;
        }
    }
}

fn longest_paths(graph: &PipelineGraph, drawn: &Lines) -> Vec<usize> {
    let mut junction_of = vec![None; graph.len()];
    for line in drawn.lines.iter().filter(|line| line.from >= graph.len()) {
        junction_of[line.to] = Some(line.from);
    }
    let behind = |layers: &[usize], steps: &[StepIndex]| steps.iter().map(|step| layers[step.get()] + 1).max();
    let mut layers = vec![0; graph.len() + drawn.junctions.len()];
    for at in graph.topological() {
        let mut layer = behind(&layers, graph.prerequisites(*at)).unwrap_or(0);
        if let Some(junction) = junction_of[at.get()] {
            // All steps before the junction come before this one.
            layers[junction] = behind(&layers, &drawn.junctions[junction - graph.len()]).unwrap_or(0);
            layer = layer.max(layers[junction] + 1);
        }
        layers[at.get()] = layer;
    }
    layers
}

#[expect(clippy::cast_precision_loss, reason = "no layer has 2^52 vertices")]
fn number_layer(layer: &[usize], place: &mut [f64]) {
    for (position, vertex) in layer.iter().enumerate() {
        place[*vertex] = position as f64;
    }
}

#[expect(clippy::cast_precision_loss, reason = "no vertex has 2^52 neighbours")]
fn mean(vertices: &[usize], values: &[f64]) -> Option<f64> {
    let sum: f64 = vertices.iter().map(|vertex| values[*vertex]).sum();
    (!vertices.is_empty()).then(|| sum / vertices.len() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "no layer has 2^52 vertices")]
fn weighted(a: (f64, usize), b: (f64, usize)) -> f64 {
    (a.0 * a.1 as f64 + b.0 * b.1 as f64) / (a.1 + b.1) as f64
}

/// Pairs that stand in the wrong order, by merging; sorts the values.
fn inversions(values: &mut [f64]) -> usize {
    let mut count = 0;
    let mut merged = values.to_vec();
    let mut size = 1;
    while size < values.len() {
        for start in (0..values.len()).step_by(2 * size) {
            let middle = (start + size).min(values.len());
            let end = (start + 2 * size).min(values.len());
            let (mut left, mut right) = (start, middle);
            for slot in &mut merged[start..end] {
                let take_left = right == end || (left < middle && values[left] <= values[right]);
                let from = if take_left { &mut left } else { &mut right };
                *slot = values[*from];
                *from += 1;
                if !take_left {
                    count += middle - left;
                }
            }
        }
        values.copy_from_slice(&merged);
        size *= 2;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_counted() {
        assert_eq!(inversions(&mut [0.0, 1.0, 2.0]), 0);
        assert_eq!(inversions(&mut [2.0, 1.0, 0.0]), 3);
        assert_eq!(inversions(&mut [1.0, 1.0, 0.0, 5.0, 4.0]), 3);
        assert_eq!(inversions(&mut []), 0);
    }
}
