//! What a build costs per step. Not timed here (`benches/` does that): these show that large builds end at all, in any
//! shape, without recursion and without a scan per step.

use std::time::Duration;

use hm_exec::{AttemptEnd, BuildState, Effect, Input};
use hm_plugin_protocol::BuildStatus;

use crate::pipelines::{Node, pipeline, step};
use crate::simulation::settings;

const STEPS: usize = 20_000;

/// Runs everything at once it may; `fail` says which step fails.
fn run(nodes: &[Node], fail: Option<u32>) -> (BuildStatus, usize) {
    let mut state = BuildState::new(settings(&pipeline(nodes)), &|_| None);
    let (mut effects, mut inputs) = (Vec::new(), vec![Input::Begin]);
    let mut appended = 0;
    while let Some(input) = inputs.pop() {
        state.apply(Duration::ZERO, input, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Start { step, .. } => {
                    let exit_code = i32::from(Some(step.as_u32()) == fail);
                    inputs.push(Input::Ended {
                        step,
                        end: AttemptEnd::Exited {
                            exit_code,
                            cause: None,
                            snapshot: None,
                        },
                    });
                }
                Effect::Append(_) => appended += 1,
                Effect::Finish(verdict) => return (verdict.status, appended),
                Effect::Lookup { .. } | Effect::Replay(_) | Effect::Abandon(_) | Effect::Stop(_) => {}
                Effect::ArmTimer { .. } | Effect::ReleaseSnapshot { .. } => {}
            }
        }
    }
    panic!("the build stands still");
}

fn chain() -> Vec<Node> {
    let node = |at: usize| {
        if at == 0 {
            step("0")
        } else {
            step(&at.to_string()).on(at - 1)
        }
    };
    (0..STEPS).map(node).collect()
}

fn wide() -> Vec<Node> {
    (0..STEPS).map(|at| step(&at.to_string())).collect()
}

/// Layers of 100, each step after ten of the layer before.
fn layered() -> Vec<Node> {
    let node = |at: usize| {
        let below = if at < 100 { 0..0 } else { 0..10 };
        below.fold(step(&at.to_string()), |node, k| {
            node.after(at / 100 * 100 - 100 + (at + k * 7) % 100)
        })
    };
    (0..STEPS).map(node).collect()
}

#[test]
fn large_builds_of_each_shape_pass() {
    for nodes in [chain(), wide(), layered()] {
        assert_eq!(run(&nodes, None), (BuildStatus::Passed, 2 + 3 * STEPS));
    }
}

#[test]
fn the_failure_of_the_first_step_reaches_all_others() {
    for nodes in [chain(), wide(), layered()] {
        let (status, appended) = run(&nodes, Some(0));
        assert_eq!(status, BuildStatus::Failed);
        assert!(appended >= 2 + 2 * STEPS, "each was queued and ended: {appended}");
    }
}
