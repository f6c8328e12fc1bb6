//! Finding cycles in a graph that is not acyclic.

use crate::graph::StepIndex;
use crate::links::Adjacency;

const UNSEEN: u32 = u32::MAX;

/// One cycle of every strongly connected component that has one, each starting at its lowest index, in the direction of
/// work (every node before the one that waits for it). `prerequisites.of(n)` are the nodes that `n` waits for; there are no
/// self loops in it. Linear, without recursion.
pub(crate) fn cycles(prerequisites: &Adjacency) -> Vec<Vec<StepIndex>> {
    let component = components(prerequisites);
    let mut size = vec![0_u32; prerequisites.len()];
    for of in &component {
        size[*of as usize] += 1;
    }
    let mut seen = vec![false; prerequisites.len()];
    let mut found = Vec::new();
    for (start, of) in component.iter().enumerate() {
        if size[*of as usize] > 1 && !seen[*of as usize] {
            seen[*of as usize] = true;
            found.push(cycle_within(start, &component, prerequisites));
        }
    }
    found
}

/// Walks back from `start` inside its component until a node comes twice: what lies between is a cycle.
fn cycle_within(start: usize, component: &[u32], prerequisites: &Adjacency) -> Vec<StepIndex> {
    let mut place = std::collections::HashMap::new();
    let mut path: Vec<StepIndex> = Vec::new();
    let mut at = start;
    while !place.contains_key(&at) {
        place.insert(at, path.len());
        let back = prerequisites
            .of(at)
            .iter()
            .find(|before| component[before.get()] == component[start]);
        let Some(back) = back else { break };
        path.push(*back);
        at = back.get();
    }
    // `path[i]` is the node before the i-th one visited, so the cycle through `at` starts right after its first visit.
    let mut cycle = path.split_off(place.get(&at).copied().unwrap_or_default());
    cycle.reverse();
    if let Some(lowest) = cycle
        .iter()
        .enumerate()
        .min_by_key(|(_, index)| **index)
        .map(|(place, _)| place)
    {
        cycle.rotate_left(lowest);
    }
    cycle
}

/// The strongly connected component of each node (Tarjan 1972, with an explicit stack).
fn components(edges: &Adjacency) -> Vec<u32> {
    let count = edges.len();
    let mut component = vec![UNSEEN; count];
    let mut order = vec![UNSEEN; count];
    let mut low = vec![UNSEEN; count];
    let mut open: Vec<usize> = Vec::new();
    let mut calls: Vec<(usize, usize)> = Vec::new();
    let (mut next_order, mut next_component) = (0, 0);
    for root in 0..count {
        if order[root] != UNSEEN {
            continue;
        }
        calls.push((root, 0));
        while let Some((at, edge)) = calls.pop() {
            if edge == 0 {
                order[at] = next_order;
                low[at] = next_order;
                next_order += 1;
                open.push(at);
            }
            if let Some(next) = edges.of(at).get(edge) {
                calls.push((at, edge + 1));
                let next = next.get();
                if order[next] == UNSEEN {
                    calls.push((next, 0));
                } else if component[next] == UNSEEN {
                    low[at] = low[at].min(order[next]);
                }
                continue;
            }
            if low[at] == order[at] {
                while let Some(member) = open.pop() {
                    component[member] = next_component;
                    if member == at {
                        break;
                    }
                }
                next_component += 1;
            }
            if let Some((caller, _)) = calls.last() {
                low[*caller] = low[*caller].min(low[at]);
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(u32, u32)], count: usize) -> Vec<Vec<u32>> {
        let backward = edges
            .iter()
            .map(|(from, to)| (StepIndex::new(*to), StepIndex::new(*from)));
        let prerequisites = Adjacency::new(count, backward.collect());
        cycles(&prerequisites)
            .into_iter()
            .map(|cycle| cycle.into_iter().map(StepIndex::as_u32).collect())
            .collect()
    }

    #[test]
    fn a_cycle_comes_in_working_order_from_its_lowest_index() {
        assert_eq!(found(&[(2, 0), (0, 1), (1, 2)], 3), [[0, 1, 2]]);
    }

    #[test]
    fn nodes_before_and_behind_a_cycle_are_not_on_it() {
        assert_eq!(found(&[(0, 1), (1, 2), (2, 1), (2, 3)], 4), [[1, 2]]);
    }

    #[test]
    fn every_component_gives_one() {
        assert_eq!(found(&[(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)], 4), [[0, 1], [2, 3]]);
    }

    #[test]
    fn a_cycle_of_100_000_nodes_needs_no_deep_stack() {
        let count = 100_000;
        let edges: Vec<_> = (0..count).map(|at| (at, (at + 1) % count)).collect();
        assert_eq!(found(&edges, 100_000)[0].len(), 100_000);
    }
}
