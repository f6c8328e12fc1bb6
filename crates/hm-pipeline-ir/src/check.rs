//! From steps and edges to a graph: everything that is wrong with their order.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::cycles::cycles;
use crate::document::EdgeKind;
use crate::graph::{Chain, ChainIdx, Node, PipelineGraph, StepIndex};
use crate::links::{Adjacency, Links};
use crate::problem::{Findings, ProblemCode};
use crate::read::DraftEdge;
use crate::step::Step;

/// How many keys of a long cycle are named.
const CYCLE_KEYS_SHOWN: usize = 20;

/// `None`, with a problem noted, where the steps have no order. A graph that comes with problems is not fit to run.
pub(crate) fn check(
    steps: Vec<(Step, BTreeMap<String, String>)>,
    edges: &[DraftEdge],
    findings: &mut Findings,
) -> Option<PipelineGraph> {
    check_keys(&steps, findings);
    let (links, edges_in) = link(&steps, edges, findings);
    let Some(topological) = topological(&links.prerequisites, &links.dependents) else {
        for cycle in cycles(&links.prerequisites) {
            report_cycle(&cycle, &steps, findings);
        }
        return None;
    };
    warn_ignored_images(&steps, &links.parent, findings);
    let (chains, chain_of) = chains(&links, &edges_in);
    let nodes = steps.into_iter().zip(chain_of).map(|((step, env), chain)| Node {
        env: merged(env, &step),
        step,
        chain,
    });
    Some(PipelineGraph::new(nodes.collect(), links, topological, chains))
}

fn check_keys(steps: &[(Step, BTreeMap<String, String>)], findings: &mut Findings) {
    let mut first = HashMap::with_capacity(steps.len());
    for (position, (step, _)) in steps.iter().enumerate() {
        let key = step.key.as_str();
        match first.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(position);
            }
            // An empty key is a problem of its own.
            Entry::Occupied(_) if key.is_empty() => {}
            Entry::Occupied(earlier) => {
                let message = format!("the key {key:?} is that of node {} already", earlier.get());
                let pointer = format!("/graph/nodes/{position}/step/key");
                findings.problem(
                    ProblemCode::DuplicateKey,
                    pointer,
                    message,
                    "give each step a key of its own",
                );
            }
        }
    }
}

/// The edges that hold, and for each node how many end at it: two of different kinds from one node count twice.
fn link(steps: &[(Step, BTreeMap<String, String>)], edges: &[DraftEdge], findings: &mut Findings) -> (Links, Vec<u32>) {
    let count = steps.len();
    let mut parent: Vec<Option<StepIndex>> = vec![None; count];
    let mut edges_in = vec![0; count];
    let (mut built_in, mut forward, mut backward) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::with_capacity(edges.len());
    for edge in edges {
        let Some((from, to)) = ends(edge, steps, findings) else {
            continue;
        };
        let pointer = format_args!("/graph/edges/{}", edge.position);
        if !seen.insert((from, to, edge.kind)) {
            findings.warning(
                ProblemCode::RepeatedEdge,
                pointer,
                "the edge is there already",
                "remove it",
            );
            continue;
        }
        forward.push((from, to));
        backward.push((to, from));
        edges_in[to.get()] += 1;
        if edge.kind == EdgeKind::BuildsIn {
            built_in.push((from, to));
            if let Some(earlier) = parent[to.get()].replace(from) {
                let [child, first, second] = [to, earlier, from].map(|at| name(at, steps));
                let message = format!("{child} builds in {second} but builds in {first} already");
                let hint = "a step boots from one snapshot: make one of the two edges \"depends_on\"";
                findings.problem(ProblemCode::SecondParent, pointer, message, hint);
            }
        }
    }
    let links = Links {
        parent,
        children: Adjacency::new(count, built_in),
        prerequisites: Adjacency::new(count, backward),
        dependents: Adjacency::new(count, forward),
    };
    (links, edges_in)
}

/// The two ends of an edge. `None`, with a problem noted, where it has not two.
fn ends(
    edge: &DraftEdge,
    steps: &[(Step, BTreeMap<String, String>)],
    findings: &mut Findings,
) -> Option<(StepIndex, StepIndex)> {
    let [from, to] = [(0, edge.from), (1, edge.to)].map(|(part, id)| {
        let index = u32::try_from(id)
            .ok()
            .map(StepIndex::new)
            .filter(|index| index.get() < steps.len());
        if index.is_none() {
            let pointer = format!("/graph/edges/{}/{part}", edge.position);
            let message = format!("there is no node {id}");
            let hint = match steps.len().checked_sub(1) {
                Some(last) => format!("nodes are numbered 0 to {last}"),
                None => "the graph has no nodes".to_owned(),
            };
            findings.problem(ProblemCode::IndexOutOfRange, pointer, message, hint);
        }
        index
    });
    let (from, to) = (from?, to?);
    if from == to {
        let pointer = format!("/graph/edges/{}", edge.position);
        let message = format!("{} waits for itself", name(from, steps));
        findings.problem(ProblemCode::SelfLoop, pointer, message, "remove the edge");
        return None;
    }
    Some((from, to))
}

/// Every step after all its prerequisites, lower indices first where there is a choice within one rank. `None` where
/// there is a cycle.
fn topological(prerequisites: &Adjacency, dependents: &Adjacency) -> Option<Vec<StepIndex>> {
    let mut missing: Vec<usize> = (0..prerequisites.len()).map(|at| prerequisites.of(at).len()).collect();
    let mut ready: VecDeque<StepIndex> = PipelineGraph::indices_of(prerequisites.len())
        .filter(|at| missing[at.get()] == 0)
        .collect();
    let mut order = Vec::with_capacity(prerequisites.len());
    while let Some(at) = ready.pop_front() {
        order.push(at);
        for dependent in dependents.of(at.get()) {
            missing[dependent.get()] -= 1;
            if missing[dependent.get()] == 0 {
                ready.push_back(*dependent);
            }
        }
    }
    (order.len() == prerequisites.len()).then_some(order)
}

fn report_cycle(cycle: &[StepIndex], steps: &[(Step, BTreeMap<String, String>)], findings: &mut Findings) {
    let mut names: Vec<String> = cycle.iter().take(CYCLE_KEYS_SHOWN).map(|at| name(*at, steps)).collect();
    if let Some(more) = cycle.len().checked_sub(CYCLE_KEYS_SHOWN).filter(|more| *more > 0) {
        names.push(format!("… {more} more"));
    }
    names.extend(cycle.first().map(|at| name(*at, steps)));
    let pointer = format!("/graph/nodes/{}", cycle.first().map_or(0, |at| at.get()));
    let message = format!("steps wait for each other: {}", names.join(" → "));
    findings.problem(
        ProblemCode::Cycle,
        pointer,
        message,
        "remove one of the edges between them",
    );
}

fn name(at: StepIndex, steps: &[(Step, BTreeMap<String, String>)]) -> String {
    match steps[at.get()].0.key.as_str() {
        "" => format!("node {}", at.get()),
        key => key.to_owned(),
    }
}

fn warn_ignored_images(
    steps: &[(Step, BTreeMap<String, String>)],
    parent: &[Option<StepIndex>],
    findings: &mut Findings,
) {
    for (position, ((step, _), parent)) in steps.iter().zip(parent).enumerate() {
        if let (Some(image), Some(parent)) = (&step.image, parent) {
            let pointer = format!("/graph/nodes/{position}/step/image");
            let message = format!(
                "the image {image:?} is ignored: the step boots from {}",
                name(*parent, steps)
            );
            findings.warning(
                ProblemCode::IgnoredImage,
                pointer,
                message,
                "remove the image, or start from scratch",
            );
        }
    }
}

fn chains(links: &Links, edges_in: &[u32]) -> (Vec<Chain>, Vec<ChainIdx>) {
    let count = links.parent.len();
    let mut chains = Vec::new();
    let mut chain_of: Vec<Option<ChainIdx>> = vec![None; count];
    for start in PipelineGraph::indices_of(count) {
        if chain_of[start.get()].is_some() {
            continue;
        }
        let id = ChainIdx::of_position(chains.len());
        let mut steps = vec![start];
        chain_of[start.get()] = Some(id);
        let mut last = start;
        while let [only] = links.children.of(last.get()) {
            if chain_of[only.get()].is_some() || edges_in[only.get()] != 1 {
                break;
            }
            chain_of[only.get()] = Some(id);
            steps.push(*only);
            last = *only;
        }
        chains.push(Chain { steps });
    }
    (chains, chain_of.into_iter().flatten().collect())
}

fn merged(mut env: BTreeMap<String, String>, step: &Step) -> BTreeMap<String, String> {
    if let Some(own) = &step.env {
        env.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    env
}
