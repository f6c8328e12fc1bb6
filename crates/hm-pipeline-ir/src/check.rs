//! From steps and edges to a graph: everything that is wrong with their order.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::cycles::cycles;
use crate::document::EdgeKind;
use crate::graph::{Chain, ChainIdx, Node, PipelineGraph, StepIndex};
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
    let links = Links::of(&steps, edges, findings);
    let Some(topological) = topological(&links.prerequisites, &links.dependents) else {
        for cycle in cycles(&links.prerequisites) {
            report_cycle(&cycle, &steps, findings);
        }
        return None;
    };
    warn_ignored_images(&steps, &links.parent, findings);
    let (chains, chain_of) = chains(&links);
    let Links {
        parent,
        children,
        prerequisites,
        dependents,
        edges_in: _,
    } = links;
    let mut nodes = Vec::with_capacity(steps.len());
    let linked = steps
        .into_iter()
        .zip(parent)
        .zip(children)
        .zip(prerequisites)
        .zip(dependents)
        .zip(chain_of);
    for (((((step_and_env, parent), children), prerequisites), dependents), chain) in linked {
        let (step, env) = merge_env(step_and_env);
        nodes.push(Node {
            step,
            env,
            parent,
            children,
            prerequisites,
            dependents,
            chain,
        });
    }
    Some(PipelineGraph::new(nodes, topological, chains))
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

/// The edges, sorted by what is asked of them.
struct Links {
    parent: Vec<Option<StepIndex>>,
    children: Vec<Vec<StepIndex>>,
    prerequisites: Vec<Vec<StepIndex>>,
    dependents: Vec<Vec<StepIndex>>,
    /// Edges of either kind that end at the node; two of different kinds from one node count twice.
    edges_in: Vec<u32>,
}

impl Links {
    fn of(steps: &[(Step, BTreeMap<String, String>)], edges: &[DraftEdge], findings: &mut Findings) -> Self {
        let count = steps.len();
        let mut links = Self {
            parent: vec![None; count],
            children: vec![Vec::new(); count],
            prerequisites: vec![Vec::new(); count],
            dependents: vec![Vec::new(); count],
            edges_in: vec![0; count],
        };
        let mut seen = HashSet::with_capacity(edges.len());
        for edge in edges {
            if let Some((from, to)) = ends(edge, steps, findings) {
                if seen.insert((from, to, edge.kind)) {
                    links.add(edge, from, to, steps, findings);
                } else {
                    let pointer = format!("/graph/edges/{}", edge.position);
                    findings.warning(
                        ProblemCode::RepeatedEdge,
                        pointer,
                        "the edge is there already",
                        "remove it",
                    );
                }
            }
        }
        for list in links
            .children
            .iter_mut()
            .chain(&mut links.prerequisites)
            .chain(&mut links.dependents)
        {
            list.sort_unstable();
            list.dedup();
        }
        links
    }

    fn add(
        &mut self,
        edge: &DraftEdge,
        from: StepIndex,
        to: StepIndex,
        steps: &[(Step, BTreeMap<String, String>)],
        findings: &mut Findings,
    ) {
        self.prerequisites[to.get()].push(from);
        self.dependents[from.get()].push(to);
        self.edges_in[to.get()] += 1;
        match edge.kind {
            EdgeKind::DependsOn => {}
            EdgeKind::BuildsIn => {
                self.children[from.get()].push(to);
                if let Some(parent) = self.parent[to.get()].replace(from) {
                    let [child, first, second] = [to, parent, from].map(|at| name(at, steps));
                    let message = format!("{child} builds in {second} but builds in {first} already");
                    let pointer = format!("/graph/edges/{}", edge.position);
                    let hint = "a step boots from one snapshot: make one of the two edges \"depends_on\"";
                    findings.problem(ProblemCode::SecondParent, pointer, message, hint);
                }
            }
        }
    }
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
fn topological(prerequisites: &[Vec<StepIndex>], dependents: &[Vec<StepIndex>]) -> Option<Vec<StepIndex>> {
    let mut missing: Vec<usize> = prerequisites.iter().map(Vec::len).collect();
    let mut ready: VecDeque<StepIndex> = PipelineGraph::indices_of(prerequisites.len())
        .filter(|at| missing[at.get()] == 0)
        .collect();
    let mut order = Vec::with_capacity(prerequisites.len());
    while let Some(at) = ready.pop_front() {
        order.push(at);
        for dependent in &dependents[at.get()] {
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

fn chains(links: &Links) -> (Vec<Chain>, Vec<ChainIdx>) {
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
        while let [only] = links.children[last.get()].as_slice() {
            if chain_of[only.get()].is_some() || links.edges_in[only.get()] != 1 {
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

fn merge_env((step, mut env): (Step, BTreeMap<String, String>)) -> (Step, BTreeMap<String, String>) {
    if let Some(own) = &step.env {
        env.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    (step, env)
}
