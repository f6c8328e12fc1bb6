//! Builds to draw.

use hm_plugin_protocol::{
    BuildEvent, BuildRef, BuildStatus, PlanSummary, RunId, Sequenced, SkipReason, StepId, StepStatus, Stream,
};
use hm_render::Renderer;
use uuid::Uuid;

pub(crate) fn id(step: u8) -> StepId {
    StepId(Uuid::from_u128(u128::from(step)))
}

pub(crate) fn build(count: u32) -> Vec<BuildEvent> {
    let run_id = RunId(Uuid::from_u128(99));
    vec![
        BuildEvent::BuildStart {
            schema_version: "1".to_owned(),
            run_id,
            plan: PlanSummary {
                step_count: count,
                chain_count: count,
                default_runner: "vm".to_owned(),
            },
            started_at: "2025-01-02T03:04:05Z".to_owned(),
        },
        BuildEvent::BuildAccepted {
            build: BuildRef {
                run_id,
                number: 12,
                org: None,
                pipeline: Some("ci".to_owned()),
            },
            watch_url: String::new(),
        },
    ]
}

pub(crate) fn queued(step: u8, key: &str, name: &str) -> BuildEvent {
    BuildEvent::StepQueued {
        step_id: id(step),
        key: key.to_owned(),
        chain_idx: u32::from(step),
        parent_key: None,
        display_name: name.to_owned(),
    }
}

pub(crate) fn start(step: u8, image: Option<&str>) -> BuildEvent {
    BuildEvent::StepStart {
        step_id: id(step),
        runner: "vm".to_owned(),
        image: image.map(str::to_owned),
    }
}

pub(crate) fn log(step: u8, stream: Stream, line: &str) -> BuildEvent {
    BuildEvent::StepLog {
        step_id: id(step),
        stream,
        line: line.to_owned(),
        ts: "2025-01-02T03:04:06Z".to_owned(),
    }
}

pub(crate) fn hit(step: u8, key: &str) -> BuildEvent {
    BuildEvent::StepCacheHit {
        step_id: id(step),
        key: key.to_owned(),
        tag: "0123abcd".to_owned(),
    }
}

pub(crate) fn end(step: u8, status: StepStatus, exit_code: i32, duration_ms: u64) -> BuildEvent {
    BuildEvent::StepEnd {
        step_id: id(step),
        exit_code,
        duration_ms,
        snapshot: None,
        status,
        causes: Vec::new(),
        fixes: Vec::new(),
    }
}

pub(crate) fn skipped(step: u8, key: &str, reason: SkipReason) -> BuildEvent {
    BuildEvent::StepSkipped {
        step_id: id(step),
        key: key.to_owned(),
        reason,
    }
}

pub(crate) fn chain_failed(step: u8, key: &str) -> BuildEvent {
    BuildEvent::ChainFailed {
        chain_idx: u32::from(step),
        failed_step_id: id(step),
        failed_step_key: key.to_owned(),
        exit_code: 1,
        message: format!("{key} failed"),
        ts: "2025-01-02T03:04:06Z".to_owned(),
    }
}

pub(crate) fn over(status: BuildStatus, exit_code: i32, duration_ms: u64) -> BuildEvent {
    BuildEvent::BuildEnd {
        exit_code,
        duration_ms,
        status,
    }
}

#[expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
pub(crate) fn draw(renderer: &mut dyn Renderer, events: Vec<BuildEvent>) -> String {
    let mut out = Vec::new();
    for (seq, event) in (0..).zip(events) {
        renderer.render(&Sequenced { seq, event }, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}
